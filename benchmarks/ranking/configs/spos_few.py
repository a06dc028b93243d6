# SPOS where one image in twenty has a label; as many steps.
_base_ = ["spos.py"]

# Classes lie in turn: as many of each.
train_dataloader = dict(dataset=dict(dataset=dict(indices=600)))
train_cfg = dict(max_epochs=640, val_interval=640)
default_hooks = dict(checkpoint=dict(interval=160))
