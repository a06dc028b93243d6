# configs/pinas_supernet.py in seconds: three choice blocks, digits of 32 pixels, every step logged.
_base_ = ["../../configs/pinas_supernet.py", "small_space.py"]

space = dict(_delete_=True, **_base_.small_space)

model = dict(
    data_preprocessor=dict(augment=dict(size=32, blur=0.0)),
    backbone=dict(space=dict(_delete_=True, **_base_.small_space)),
    neck=dict(in_channels=32, hid_channels=32, out_channels=16),
    head=dict(pair=dict(dim=16, queue_size=32)),
    teacher=dict(momentum=0.9),
)
pipeline = [dict(type="pinas_mm.LoadImage"), dict(type="PackInputs")]
loader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(pipeline=pipeline),
)
train_dataloader = loader
val_dataloader = loader
test_dataloader = loader
val_cfg = dict(num_images=8, num_pairs=2)
test_cfg = dict(num_images=8, num_pairs=2)
train_cfg = dict(max_epochs=2, val_interval=2)
default_hooks = dict(logger=dict(interval=1))
