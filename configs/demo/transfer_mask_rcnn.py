# Mask R-CNN on the COCO-layout digits, shrunk to two CPU cores.
_base_ = [
    "mmdet::_base_/models/mask-rcnn_r50_fpn.py",
    "mmdet::_base_/datasets/coco_instance.py",
    "mmdet::_base_/default_runtime.py",
    "digits.py",
]
custom_imports = dict(imports=["pinas_mm"], allow_failed_imports=False)

# Digit d is COCO's category d: the others have no instances.
metainfo = dict(
    classes=(
        "person",
        "bicycle",
        "car",
        "motorcycle",
        "airplane",
        "bus",
        "train",
        "truck",
        "boat",
        "traffic light",
    )
)
data_root = "{{$PINAS_DATA:data}}/coco/"

norm_cfg = dict(type="BN")
model = dict(
    backbone=dict(
        _delete_=True,
        type="pinas_mm.PiNASBackbone",
        arch="0-0-0-0",
        space={{_base_.demo_space}},
        out_indices=(1, 3),
    ),
    # Digits are 32 to 57 pixels: two levels, of strides 4 and 8.
    neck=dict(in_channels=[32, 64], out_channels=48, num_outs=2, norm_cfg=norm_cfg),
    rpn_head=dict(in_channels=48, feat_channels=48, anchor_generator=dict(strides=[4, 8])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=48, featmap_strides=[4, 8]),
        bbox_head=dict(
            type="Shared4Conv1FCBBoxHead",
            in_channels=48,
            conv_out_channels=32,
            fc_out_channels=128,
            num_classes=10,
            norm_cfg=norm_cfg,
        ),
        mask_roi_extractor=dict(out_channels=48, featmap_strides=[4, 8]),
        mask_head=dict(in_channels=48, conv_out_channels=32, num_classes=10, norm_cfg=norm_cfg),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=64),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=64), rcnn=dict(max_per_img=20)),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=(160, 128), keep_ratio=True),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(160, 128), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    batch_sampler=None,
    dataset=dict(
        _delete_=True,
        type="pinas_mm.CachedDataset",
        dataset=dict(
            type="CocoDataset",
            data_root=data_root,
            ann_file="annotations/instances_train2017.json",
            data_prefix=dict(img="train2017/"),
            metainfo=metainfo,
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    batch_size=10,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json")
test_evaluator = val_evaluator

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=20, val_interval=20)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="AdamW", lr=2e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=5),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, end=1, by_epoch=True, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", begin=1, by_epoch=True, convert_to_iter_based=True),
]
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(interval=5, max_keep_ckpts=2, backend_args=dict(backend="atomic")),
)
