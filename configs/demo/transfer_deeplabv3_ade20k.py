# DeepLabV3 on the ADE20K-layout digits, shrunk to two CPU cores.
_base_ = [
    "mmseg::_base_/models/deeplabv3_r50-d8.py",
    "mmseg::_base_/datasets/ade20k.py",
    "mmseg::_base_/default_runtime.py",
    "digits.py",
]
custom_imports = dict(imports=["pinas_mm"], allow_failed_imports=False)

metainfo = dict(
    classes=(
        "wall",
        "building",
        "sky",
        "floor",
        "tree",
        "ceiling",
        "road",
        "bed ",
        "windowpane",
        "grass",
        "cabinet",
    )
)
data_root = "{{$PINAS_DATA:data}}/ADEChallengeData2016"
norm_cfg = dict(type="BN")
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type="pinas_mm.PiNASBackbone",
        arch="0-0-0-0",
        space={{_base_.demo_space}},
        strides=(2, 1, 1, 1),
        dilations=(1, 1, 2, 2),
    ),
    decode_head=dict(
        _delete_=True,
        type="pinas_mm.DeepLabV3ReleaseHead",
        in_channels=64,
        in_index=3,
        channels=48,
        dilations=(1, 3, 6, 9),
        project_dropout_ratio=0.1,
        num_classes=11,
        norm_cfg=norm_cfg,
    ),
    auxiliary_head=dict(in_channels=64, channels=48, num_classes=11, norm_cfg=norm_cfg),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    dict(type="Resize", scale=(128, 128), keep_ratio=True),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(128, 128), keep_ratio=True),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type="pinas_mm.CachedDataset",
        dataset=dict(
            type="ADE20KDataset",
            data_root=data_root,
            data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
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

train_cfg = dict(type="IterBasedTrainLoop", max_iters=1000, val_interval=1000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="AdamW", lr=2e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=5),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, end=50, by_epoch=False),
    dict(type="CosineAnnealingLR", begin=50, by_epoch=False),
]
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=10, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="CheckpointHook", by_epoch=False, interval=250, max_keep_ckpts=2,
        backend_args=dict(backend="atomic"),
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="SegVisualizationHook"),
)
