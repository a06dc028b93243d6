# What the searches start from: 4 choice blocks, hardly trained.
_base_ = ["epochs.py"]

space = dict(depths=(2, 2))
model = dict(backbone=dict(space=space))
train_cfg = dict(max_epochs=2)
