# configs/pinas_linear.py, shrunk like the demo's supernet.
_base_ = ["../pinas_linear.py", "space.py"]

space = {{_base_.demo_space}}

model = dict(
    data_preprocessor=dict(num_classes=10),
    backbone=dict(space={{_base_.demo_space}}, init_cfg=dict(checkpoint="work_dirs/demo/supernet")),
    head=dict(num_classes=10, in_channels=64),
)

pipeline = [dict(type="pinas_mm.LoadImage"), dict(type="PackInputs")]
train_set = dict(
    _delete_=True,
    type="pinas_mm.CachedDataset",
    dataset=dict(
        type="ImageNet",
        data_root={{_base_.data_root}},
        split="train",
        pipeline=pipeline,
    ),
)
val_set = dict(
    _delete_=True,
    type="pinas_mm.CachedDataset",
    dataset=dict(
        type="ImageNet",
        data_root={{_base_.data_root}},
        split="val",
        pipeline=pipeline,
    ),
)
train_dataloader = dict(batch_size=64, num_workers=0, dataset=train_set)
val_dataloader = dict(batch_size=250, num_workers=0, dataset=val_set)
test_dataloader = val_dataloader
calibration_dataloader = dict(batch_size=100, num_workers=0, dataset=train_set)
loop = dict(calibration_dataloader=calibration_dataloader, calibration_batches=20, num_archs=8)
val_cfg = loop
test_cfg = loop

# The features of so small a network need no learning rate of 30.
optim_wrapper = dict(optimizer=dict(lr=1.0))
train_cfg = dict(max_epochs=10, val_interval=10)
param_scheduler = [dict(type="MultiStepLR", milestones=[6, 8], gamma=0.1, by_epoch=True)]
default_hooks = dict(checkpoint=dict(interval=10))
