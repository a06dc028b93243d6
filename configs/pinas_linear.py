# A linear classifier on the frozen supernet, a uniform random path a step (Peng et al., ICCV 2021):
# 8 GPUs of 32 images, 100 epochs.
_base_ = ["_base_/runtime.py", "_base_/space.py", "_base_/imagenet_labels.py"]

model = dict(
    type="pinas_mm.SupernetClassifier",
    data_preprocessor=dict(
        type="ClsDataPreprocessor",
        num_classes=1000,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
    backbone=dict(
        type="pinas_mm.PiNASSupernet",
        space={{_base_.space}},
        # A work dir means its last checkpoint; a file can be given as well.
        init_cfg=dict(type="pinas_mm.FromSupernet", checkpoint="work_dirs/pinas_supernet"),
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(
        type="LinearClsHead",
        num_classes=1000,
        in_channels=2048,
        loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
        topk=(1, 5),
    ),
    paths=dict(type="pinas_mm.UniformPaths", num_paths=1),
    freeze_backbone=True,
)

optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="SGD", lr=30.0, momentum=0.9, weight_decay=0.0)
)
param_scheduler = [dict(type="MultiStepLR", milestones=[60, 80], gamma=0.1, by_epoch=True)]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=100, val_interval=10)
auto_scale_lr = dict(base_batch_size=256, enable=False)
