# ImageNet without labels: four crops of each image, decoded once. Flip, colors and blur are random
# on whole batches, in the model's data preprocessor.
data_root = "{{$PINAS_DATA:data}}/imagenet"

load_image = dict(type="pinas_mm.LoadImage")
crop = dict(type="RandomResizedCrop", scale=224, crop_ratio_range=(0.2, 1.0))
train_pipeline = [
    load_image,
    dict(type="MultiView", num_views=4, transforms=[[crop]]),
    dict(type="PackInputs"),
]
# Held-out images are seen once by the student and once by the teacher.
test_pipeline = [
    load_image,
    dict(type="MultiView", num_views=2, transforms=[[crop]]),
    dict(type="PackInputs"),
]
# Any folder of images will do, flat or not; split=None takes all of data_root.
images = dict(type="pinas_mm.ImageFolder", data_root=data_root, with_label=False)
train_dataloader = dict(
    batch_size=24,
    num_workers=8,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(**images, split="train", pipeline=train_pipeline),
)

# Held-out images for cross-path retrieval.
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(**images, split="val", pipeline=test_pipeline),
)
val_cfg = dict(type="pinas_mm.RetrievalLoop", num_images=512)
val_evaluator = []
test_dataloader = val_dataloader
test_cfg = dict(type="pinas_mm.RetrievalLoop", num_images=512)
test_evaluator = []
