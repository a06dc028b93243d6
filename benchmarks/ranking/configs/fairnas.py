# FairNAS: five paths a step, of every block each candidate once.
_base_ = ["spos.py"]

model = dict(paths=dict(type="pinas_mm.FairPaths", num_paths=5))
train_cfg = dict(max_epochs=13, val_interval=13)
default_hooks = dict(checkpoint=dict(interval=13))
