# The paper's Mask R-CNN, shrunk to the COCO-layout digits on two CPU cores.
_base_ = ["../coco/mask-rcnn_pinas-trans_fpn_syncbn_ms-90k_coco.py", "finetune.py"]

# Digit d is COCO's category d; the other 70 have no instances.
classes = ["person", "bicycle", "car", "motorcycle", "airplane"]
classes += ["bus", "train", "truck", "boat", "traffic light"]

# Digits are 32 to 57 pixels long: two levels, of strides 4 and 8.
strides, channels = [4, 8], 48
model = dict(
    backbone=dict(_delete_=True, **_base_.demo_backbone, strides=(1, 2, 2), out_indices=(1, 2)),
    neck=dict(in_channels=[32, 64], out_channels=channels, num_outs=2),
    rpn_head=dict(
        in_channels=channels, feat_channels=channels, anchor_generator=dict(strides=strides)
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels, featmap_strides=strides),
        bbox_head=dict(
            in_channels=channels, conv_out_channels=32, fc_out_channels=128, num_classes=10
        ),
        mask_roi_extractor=dict(out_channels=channels, featmap_strides=strides),
        mask_head=dict(in_channels=channels, conv_out_channels=32, num_classes=10),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=64),
        rcnn=dict(sampler=dict(num=32, pos_fraction=0.5)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=64), rcnn=dict(max_per_img=20)),
)

# Nothing is random, so that CachedDataset decodes each image once; a digit is none when flipped.
size = (160, 128)
train_pipeline = [
    _base_.load_image,
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=size, keep_ratio=True),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    _base_.load_image,
    dict(type="Resize", scale=size, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    _base_.test_pipeline[-1],
]
train_set = dict(metainfo=dict(classes=classes), pipeline=train_pipeline)
test_set = dict(metainfo=dict(classes=classes), pipeline=test_pipeline)
train_dataloader = dict(
    **_base_.demo_loader,
    batch_size=8,
    batch_sampler=None,
    dataset=dict(
        _delete_=True,
        type="pinas_mm.CachedDataset",
        dataset=dict(_base_.train_dataloader.dataset, **train_set),
    ),
)
val_dataloader = dict(**_base_.demo_loader, batch_size=10, dataset=test_set)
test_dataloader = val_dataloader

train_cfg = dict(max_iters=400)
optim_wrapper = dict(_delete_=True, **_base_.demo_optim_wrapper)
param_scheduler = _base_.demo_schedule
default_hooks = _base_.demo_hooks
visualizer = dict(vis_backends=_base_.demo_vis_backends)
custom_hooks = [*_base_.custom_hooks, _base_.demo_pictures]
