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

# What supernets read. They learn from 22 of 23 parts of the training images, drawn at random; the
# other one, about 5,100 images, validates and searches them: val2017 stays new to the winner.
# Annotations come with the images, so that the metric asks for no file of that part.
held_out_pack = dict(test_pipeline[-1], meta_keys=(*test_pipeline[-1]["meta_keys"], "instances"))
held_out_pipeline = [*test_pipeline[:-1], held_out_pack]
# Statistics are of as many images as SyncBN takes together in training, cropped: in so large a
# batch most of them would be padded.
calibration_crop = dict(type="RandomCrop", crop_size=(640, 640))
calibration_pipeline = [*train_pipeline[:-1], calibration_crop, train_pipeline[-1]]
part = dict(type="pinas_mm.KFoldDataset", num_splits=23, seed=0)
train_images = dict(_base_.train_dataloader.dataset, data_root=data_root, pipeline=train_pipeline)
training_part = dict(**part, dataset=train_images)
held_out_part = dict(**part, test_mode=True, dataset=dict(train_images, pipeline=held_out_pipeline))
calibration_dataloader = dict(
    batch_size=16,
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**part, dataset=dict(train_images, pipeline=calibration_pipeline)),
)
