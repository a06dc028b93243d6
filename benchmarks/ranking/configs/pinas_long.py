# Pi-NAS four times as long.
_base_ = ["pinas.py"]

train_cfg = dict(max_epochs=128, val_interval=32)
default_hooks = dict(checkpoint=dict(interval=32))
