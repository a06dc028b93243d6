# A training of about ten seconds; a checkpoint every 4 iterations, a validation every 12.
_base_ = ["../../configs/small_supernet.py"]

train_cfg = dict(max_epochs=30, val_interval=3)
