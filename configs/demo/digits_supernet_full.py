# The demo's supernet with more steps.
_base_ = ["digits_supernet.py"]

train_cfg = dict(max_epochs=80, val_interval=10)
default_hooks = dict(checkpoint=dict(interval=10))
