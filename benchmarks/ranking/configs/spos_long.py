# SPOS with as many passes through the network as Pi-NAS takes: four an image and epoch.
_base_ = ["spos.py"]

train_cfg = dict(max_epochs=128, val_interval=128)
default_hooks = dict(checkpoint=dict(interval=32))
