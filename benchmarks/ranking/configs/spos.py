# SPOS: one uniform path a step.
_base_ = ["labels.py"]

optim_wrapper = dict(_delete_=True, **_base_.adamw)
param_scheduler = _base_.cosine
train_cfg = dict(max_epochs=_base_.epochs, val_interval=32)
default_hooks = dict(checkpoint=dict(interval=8))
