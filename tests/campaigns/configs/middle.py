# The same with checkpoints in the middle of epochs.
_base_ = ["epochs.py"]

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=3))
