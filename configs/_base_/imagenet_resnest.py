# ImageNet from scratch as mmpretrain trains ResNeSt-50: 32 GPUs of 64 images, 270 epochs.
_base_ = ["mmpretrain::resnest/resnest50_32xb64_in1k.py"]

data_root = "{{$PINAS_DATA:data}}/imagenet"
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))

default_hooks = dict(checkpoint=dict(max_keep_ckpts=3, backend_args=dict(backend="atomic")))
