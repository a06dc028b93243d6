# A linear classifier on a frozen supernet, a uniform path a step.
_base_ = ["labels.py"]

model = dict(
    model=dict(
        backbone=dict(init_cfg=dict(type="pinas_mm.FromSupernet", checkpoint="supernet.pth"))
    ),
    freeze_backbone=True,
)
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=1.0, momentum=0.9, weight_decay=0.0),
)
train_cfg = dict(max_epochs=8, val_interval=8)
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True)]
default_hooks = dict(checkpoint=dict(interval=8))
