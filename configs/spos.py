# SPOS (Guo et al., ECCV 2020): a supernet with labels, one uniform random path a step. 8 GPUs of
# 128 images, 120 epochs, the learning rate falls linearly.
_base_ = [
    "_base_/runtime.py",
    "_base_/space.py",
    "_base_/imagenet_labels.py",
    "_base_/single_path.py",
]

model = dict(
    model=dict(
        backbone=dict(space={{_base_.space}}),
        head=dict(loss=dict(_delete_=True, type="LabelSmoothLoss", label_smooth_val=0.1)),
    )
)

train_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    type="AmpOptimWrapper",
    loss_scale="dynamic",
    optimizer=dict(type="pinas_mm.SGD", lr=0.5, momentum=0.9, weight_decay=4e-5, fused=True),
)
param_scheduler = [
    dict(type="PolyLR", power=1.0, eta_min=0.0, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=120, val_interval=10)
auto_scale_lr = dict(base_batch_size=1024, enable=False)
