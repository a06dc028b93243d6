# SPOS: one uniform path a step.
_base_ = ["labels.py"]

optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=3e-3, weight_decay=1e-4),
)
# Every contender sees the training images as often; how many paths an image takes is its own.
train_cfg = dict(max_epochs=32, val_interval=32)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, end=1, by_epoch=True, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", begin=1, by_epoch=True, convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(interval=8))
