# The paper's DeepLabV3, shrunk to the Cityscapes-layout digits on two CPU cores.
_base_ = ["../cityscapes/deeplabv3_pinas-trans-d8_4xb2-80k_cityscapes-768x768.py", "finetune.py"]

# Digit d has train id d, the photograph 10: mIoU is the mean over these 11.
classes = ["road", "sidewalk", "building", "wall", "fence", "pole"]
classes += ["traffic light", "traffic sign", "vegetation", "terrain", "sky"]

# Height and width; pipelines want width and height.
size = (64, 128)
test_scale = (160, 80)
model = dict(
    data_preprocessor=dict(size=size),
    test_cfg=dict(_delete_=True, mode="whole"),
    **_base_.demo_deeplabv3,
)

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type="RandomResize", scale=size[::-1], ratio_range=(0.75, 1.5), keep_ratio=True),
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
train_dataloader = dict(**_base_.demo_loader, batch_size=8, dataset=train_set)
val_dataloader = dict(**_base_.demo_loader, batch_size=10, dataset=test_set)
test_dataloader = val_dataloader

train_cfg = dict(max_iters=1000)
optim_wrapper = dict(_delete_=True, **_base_.demo_optim_wrapper_deeplabv3)
param_scheduler = _base_.demo_schedule
default_hooks = _base_.demo_hooks
visualizer = dict(vis_backends=_base_.demo_vis_backends)
custom_hooks = [*_base_.custom_hooks, _base_.demo_pictures]
