# A linear classifier on the frozen supernet, a uniform random path a step (Peng et al., ICCV 2021):
# 8 GPUs of 32 images, 100 epochs.
_base_ = [
    "_base_/runtime.py",
    "_base_/space.py",
    "_base_/imagenet_labels.py",
    "_base_/single_path.py",
]

model = dict(
    model=dict(
        backbone=dict(
            space={{_base_.space}},
            # A work dir means its last checkpoint; a file can be given as well.
            init_cfg=dict(type="pinas_mm.FromSupernet", checkpoint="work_dirs/pinas_supernet"),
        )
    ),
    freeze_backbone=True,
)

optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="SGD", lr=30.0, momentum=0.9, weight_decay=0.0)
)
param_scheduler = [dict(type="MultiStepLR", milestones=[60, 80], gamma=0.1, by_epoch=True)]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=100, val_interval=10)
auto_scale_lr = dict(base_batch_size=256, enable=False)
