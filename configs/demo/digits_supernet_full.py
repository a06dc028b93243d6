# The demo's supernet with more steps.
_base_ = ["digits_supernet.py"]

train_cfg = dict(max_epochs=32, val_interval=8)
default_hooks = dict(checkpoint=dict(interval=8))
