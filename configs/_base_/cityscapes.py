# Cityscapes at base size 2048 (of the longer side), crop 768; with --tta tested at scales 0.5 to
# 1.75 of the base size with flips. The schedule is mmseg's: 4 GPUs of 2 images, 80,000 iterations.
_base_ = [
    "mmseg::_base_/datasets/cityscapes.py",
    "mmseg::_base_/schedules/schedule_80k.py",
    "mmseg::_base_/default_runtime.py",
]

data_root = "{{$PINAS_DATA:data}}/cityscapes"
base_size = (2048, 2048)
crop_size = (768, 768)
# pinas_mm.LoadImage by mmcv's name, which the libraries' inferencers look for. Images are not
# turned as EXIF says: label maps are of the pixels as stored.
load_image = dict(
    type="LoadImageFromFile", _scope_="pinas_mm", color_type="color_ignore_orientation"
)
train_pipeline = [
    load_image,
    dict(type="LoadAnnotations", backend_args=dict(backend="data")),
    dict(type="RandomResize", scale=base_size, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    load_image,
    dict(type="Resize", scale=base_size, keep_ratio=True),
    dict(type="LoadAnnotations", backend_args=dict(backend="data")),
    dict(type="PackSegInputs"),
]
tta_pipeline = [
    load_image,
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="Resize", scale=(int(2048 * ratio), int(2048 * ratio)), keep_ratio=True)
                for ratio in _base_.img_ratios
            ],
            [dict(type="RandomFlip", prob=prob, direction="horizontal") for prob in (0.0, 1.0)],
            [dict(type="LoadAnnotations", backend_args=dict(backend="data"))],
            [dict(type="PackSegInputs")],
        ],
    ),
]
# Hidden folders are left out.
images = dict(data_root=data_root, backend_args=dict(backend="data"))
train_dataloader = dict(dataset=dict(**images, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(**images, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(**images, pipeline=test_pipeline))

default_hooks = dict(checkpoint=dict(max_keep_ckpts=3, backend_args=dict(backend="atomic")))

# What supernets read. They learn from 5 of 6 parts of the training images, drawn at random; the
# other one, 495 images, validates and searches them: the validation images stay new to the
# winner. Statistics are of as many images as SyncBN takes together in training.
part = dict(type="pinas_mm.KFoldDataset", num_splits=6, seed=0)
train_images = dict(_base_.train_dataloader.dataset, **images, pipeline=train_pipeline)
training_part = dict(**part, dataset=train_images)
held_out_part = dict(**part, test_mode=True, dataset=dict(train_images, pipeline=test_pipeline))
calibration_dataloader = dict(
    batch_size=8,
    num_workers=4,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=training_part,
)
