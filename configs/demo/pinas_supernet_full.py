# The demo's supernet with more steps.
_base_ = ["pinas_supernet.py"]

train_cfg = dict(max_epochs=160, val_interval=20)
default_hooks = dict(checkpoint=dict(interval=10))
