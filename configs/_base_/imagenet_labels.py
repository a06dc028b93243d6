# ImageNet with labels, for heads on a frozen or a trained supernet.
data_root = "{{$PINAS_DATA:data}}/imagenet"

train_pipeline = [
    dict(type="pinas_mm.LoadImage"),
    dict(type="RandomResizedCrop", scale=224),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]
test_pipeline = [
    dict(type="pinas_mm.LoadImage"),
    dict(type="ResizeEdge", scale=256, edge="short"),
    dict(type="CenterCrop", crop_size=224),
    dict(type="PackInputs"),
]
images = dict(type="pinas_mm.ImageFolder", data_root=data_root)
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**images, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**images, split="val", pipeline=test_pipeline),
)
val_evaluator = dict(type="Accuracy", topk=(1, 5))
test_dataloader = val_dataloader
test_evaluator = val_evaluator

# Each architecture's batch-norm statistics are recomputed on 49 batches of training images.
calibration_dataloader = dict(
    batch_size=64,
    num_workers=8,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**images, split="train", pipeline=test_pipeline),
)
val_cfg = dict(
    type="pinas_mm.SupernetValLoop",
    calibration_dataloader=calibration_dataloader,
    calibration_batches=49,
    num_archs=8,
)
test_cfg = dict(val_cfg, type="pinas_mm.SupernetTestLoop")
