# Pi-NAS supernet pre-training without labels on ImageNet (Peng et al., ICCV 2021): 8 GPUs of 24
# images, 100 epochs, mixed precision.
_base_ = ["_base_/runtime.py", "_base_/space.py", "_base_/imagenet_views.py"]

model = dict(
    type="pinas_mm.PiNAS",
    data_preprocessor=dict(
        type="pinas_mm.ViewsPreprocessor",
        num_views=4,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
        augment=dict(
            size=None,  # the pipeline crops
            flip=0.5,
            brightness=0.4,
            contrast=0.4,
            saturation=0.4,
            hue=0.4,
            jitter=0.8,
            gray=0.2,
            blur=0.5,
            blur_sigma=(0.1, 2.0),
        ),
    ),
    backbone=dict(type="pinas_mm.PiNASSupernet", space={{_base_.space}}),
    neck=dict(type="MoCoV2Neck", in_channels=2048, hid_channels=2048, out_channels=128),
    head=dict(
        type="pinas_mm.CrossPathHead",
        cross=True,
        pair=dict(type="pinas_mm.InfoNCEHead", dim=128, queue_size=49152, temperature=0.2),
    ),
    teacher=dict(type="pinas_mm.MeanTeacher", momentum=0.999),
    paths=dict(type="pinas_mm.CrossPaths", num_paths=2),
)

# A step leaves most candidates without gradient: neither decay nor momentum moves them.
model_wrapper_cfg = dict(type="pinas_mm.PathDataParallel")
optim_wrapper = dict(
    type="AmpOptimWrapper",
    loss_scale="dynamic",
    optimizer=dict(type="pinas_mm.SGD", lr=0.03, momentum=0.9, weight_decay=1e-4, fused=True),
)
# T_max is not given: it follows max_epochs.
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=100, val_interval=5)
auto_scale_lr = dict(base_batch_size=192, enable=False)
