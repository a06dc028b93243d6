# configs/pinas_linear.py on the space of small_supernet.py; needs a checkpoint.
_base_ = ["../../configs/pinas_linear.py", "small_space.py"]

space = dict(_delete_=True, **_base_.small_space)

model = dict(
    model=dict(
        data_preprocessor=dict(num_classes=10),
        backbone=dict(space=dict(_delete_=True, **_base_.small_space)),
        head=dict(num_classes=10, in_channels=32),
    )
)
pipeline = [dict(type="pinas_mm.LoadImage"), dict(type="PackInputs")]
loader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(pipeline=pipeline)
)
train_dataloader = loader
val_dataloader = loader
test_dataloader = loader
calibration_dataloader = loader
loop = dict(calibration_dataloader=loader, calibration_batches=2, num_archs=2)
val_cfg = loop
test_cfg = loop
optim_wrapper = dict(optimizer=dict(lr=0.1))
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(logger=dict(interval=1))
