# The paper's DeepLabV3, shrunk to the ADE20K-layout digits on two CPU cores.
_base_ = ["../ade20k/deeplabv3_pinas-trans-d8_4xb4-160k_ade20k-480x480.py", "finetune.py"]

# Digit d is ADE20K's class d, the photograph class 10: mIoU is the mean over these 11.
classes = ["wall", "building", "sky", "floor", "tree", "ceiling", "road"]
classes += ["bed ", "windowpane", "grass", "cabinet"]

size = (64, 64)
test_scale = (80, 80)
model = dict(data_preprocessor=dict(size=size), **_base_.demo_deeplabv3)

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type="RandomResize", scale=size, ratio_range=(0.75, 1.5), keep_ratio=True),
    _base_.demo_rotation,
    dict(type="RandomCrop", crop_size=size),
    _base_.demo_distortion,
    _base_.train_pipeline[-1],
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type="Resize", scale=test_scale, keep_ratio=True),
    *_base_.test_pipeline[2:],
]
train_set = dict(metainfo=dict(classes=classes), pipeline=train_pipeline)
test_set = dict(metainfo=dict(classes=classes), pipeline=test_pipeline)
train_dataloader = dict(**_base_.demo_loader, batch_size=16, dataset=train_set)
val_dataloader = dict(**_base_.demo_loader, batch_size=10, dataset=test_set)
test_dataloader = val_dataloader

train_cfg = dict(max_iters=1000)
optim_wrapper = dict(_delete_=True, **_base_.demo_optim_wrapper_deeplabv3)
param_scheduler = _base_.demo_schedule
default_hooks = _base_.demo_hooks
visualizer = dict(vis_backends=_base_.demo_vis_backends)
custom_hooks = [*_base_.custom_hooks, _base_.demo_pictures]
