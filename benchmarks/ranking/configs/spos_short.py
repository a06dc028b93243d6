# SPOS half as long.
_base_ = ["spos.py"]

train_cfg = dict(max_epochs=16, val_interval=16)
