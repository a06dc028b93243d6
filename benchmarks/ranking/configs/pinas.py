# Pi-NAS on the benchmark's space and images.
_base_ = ["../../../configs/pinas_supernet.py", "space.py", "digits.py", "schedule.py"]

space = dict(_delete_=True, **_base_.ranking_space)

model = dict(
    data_preprocessor=dict(
        mean={{_base_.mean}}, std={{_base_.std}}, augment=dict(_delete_=True, **_base_.views)
    ),
    neck=dict(in_channels={{_base_.channels}}, hid_channels=128, out_channels=64),
    head=dict(pair=dict(dim=64, queue_size=2048, temperature=0.2)),
    teacher=dict(momentum=0.99),
)
loader = dict(num_workers=0, collate_fn=dict(type="pseudo_collate"))
train_dataloader = dict(batch_size=64, **loader, dataset=dict(_delete_=True, **_base_.digits_train))
val_dataloader = dict(batch_size=250, **loader, dataset=dict(_delete_=True, **_base_.digits_val))
test_dataloader = dict(batch_size=250, **loader, dataset=dict(_delete_=True, **_base_.digits_val))
optim_wrapper = dict(_delete_=True, **_base_.adamw)
param_scheduler = _base_.cosine
train_cfg = dict(max_epochs=_base_.epochs, val_interval=8)
default_hooks = dict(checkpoint=dict(interval=8))

# Without labels; partners are a multiple of a block's candidates.
search = dict(
    score=dict(type="pinas_mm.CrossPathScore", partners=10),
    objectives=["cross_path/score"],
    calibration_batches=20,
    memory="512M",
    batch=200,
    num_classes=10,
)
