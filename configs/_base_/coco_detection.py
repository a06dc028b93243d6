# COCO 2017 as the paper trains on it, and as mmdet's own base has it: 8 GPUs of 2 images, 90,000
# iterations, shortest side 640 to 800.
_base_ = ["mmdet::common/ms-90k_coco.py"]

data_root = "{{$PINAS_DATA:data}}/coco/"
# pinas_mm.LoadImage by mmcv's name, which the libraries' inferencers look for. Images are not
# turned as EXIF says: boxes and masks are of the pixels as stored.
load_image = dict(
    type="LoadImageFromFile", _scope_="pinas_mm", color_type="color_ignore_orientation"
)
train_pipeline = [load_image, *_base_.train_pipeline[1:]]
test_pipeline = [load_image, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
val_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json")
test_evaluator = dict(ann_file=data_root + "annotations/instances_val2017.json")

default_hooks = dict(checkpoint=dict(max_keep_ckpts=3, backend_args=dict(backend="atomic")))
