# configs/pinas_supernet.py, shrunk to real digits of 12 pixels on two CPU cores. Without labels
# what counts is the number of steps: small space, small batches, views made on whole batches.
_base_ = ["../pinas_supernet.py", "digits_data.py"]

space = dict(_delete_=True, **_base_.demo_space)

model = dict(
    data_preprocessor=dict(augment=dict(_delete_=True, **_base_.digits_views)),
    neck=dict(in_channels=64, hid_channels=128, out_channels=64),
    head=dict(pair=dict(dim=64, queue_size=2048, temperature=0.2)),
    teacher=dict(momentum=0.99),
)

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(_delete_=True, **_base_.cached_train),
)
val_dataloader = dict(
    num_workers=0,
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(_delete_=True, **_base_.cached_val),
)
test_dataloader = val_dataloader

# Few steps: AdamW was well ahead of SGD after as many in single trials. 187 steps an epoch; both
# schedulers end where the training does.
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="pinas_mm.AdamW", lr=3e-3, weight_decay=1e-4, fused=True),
)
train_cfg = dict(max_epochs=16, val_interval=4)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, end=1, by_epoch=True, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", begin=1, by_epoch=True, convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(interval=4))
