# The demo's supernet with more steps.
_base_ = ["pinas_supernet.py"]

epochs = 160
train_cfg = dict(max_epochs=epochs, val_interval=20)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, end=2, by_epoch=True, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        begin=2,
        T_max=epochs - 2,
        end=epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(checkpoint=dict(interval=10))
