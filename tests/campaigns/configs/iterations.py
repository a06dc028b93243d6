# The same by iterations.
_base_ = ["epochs.py"]

train_dataloader = dict(sampler=dict(type="InfiniteSampler", shuffle=True))
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=False)]
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=120, val_interval=12)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=5), logger=dict(log_metric_by_epoch=False)
)
log_processor = dict(by_epoch=False)
