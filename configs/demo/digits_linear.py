# configs/pinas_linear.py, shrunk like the demo's supernet, from which it starts:
# python tools/train.py configs/demo/digits_supernet.py
_base_ = ["../pinas_linear.py", "digits_data.py"]

space = dict(_delete_=True, **_base_.demo_space)

model = dict(
    model=dict(
        data_preprocessor=dict(num_classes=10),
        backbone=dict(init_cfg=dict(checkpoint="work_dirs/digits_supernet")),
        head=dict(num_classes=10, in_channels=64),
    )
)

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    dataset=dict(_delete_=True, **_base_.cached_train),
)
val_dataloader = dict(
    batch_size=250,
    num_workers=0,
    dataset=dict(_delete_=True, **_base_.cached_val),
)
test_dataloader = val_dataloader
val_cfg = dict(
    calibration_dataloader=dict(
        batch_size=100,
        num_workers=0,
        dataset=dict(_delete_=True, **_base_.cached_train),
    ),
    calibration_batches=20,
)
test_cfg = val_cfg

# The features of so small a network need no learning rate of 30.
optim_wrapper = dict(optimizer=dict(lr=1.0))
train_cfg = dict(max_epochs=4, val_interval=4)
param_scheduler = [dict(type="MultiStepLR", milestones=[2, 3], gamma=0.1, by_epoch=True)]
default_hooks = dict(checkpoint=dict(interval=4))
