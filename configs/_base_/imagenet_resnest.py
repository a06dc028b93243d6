# ImageNet from scratch as mmpretrain trains ResNeSt-50: 32 GPUs of 64 images, 270 epochs.
_base_ = ["mmpretrain::resnest/resnest50_32xb64_in1k.py"]

data_root = "{{$PINAS_DATA:data}}/imagenet"
# pinas_mm.LoadImage by mmcv's name, which mmpretrain's inferencer looks for.
load_image = dict(type="LoadImageFromFile", _scope_="pinas_mm")
images = dict(type="pinas_mm.ImageFolder", data_root=data_root)
train_pipeline = [load_image, *_base_.train_pipeline[1:]]
test_pipeline = [load_image, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(**images, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(**images, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(**images, pipeline=test_pipeline))

default_hooks = dict(checkpoint=dict(max_keep_ckpts=3, backend_args=dict(backend="atomic")))

# mmpretrain's file forgets them.
val_cfg = dict()
test_cfg = dict()
