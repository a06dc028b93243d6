# A found backbone in mmpretrain's classifier on ImageNet, whose normalization is the same.
_base_ = ["mmpretrain::resnet/resnet50_8xb32_in1k.py", "found.py"]

model = dict(
    backbone=dict(_delete_=True, **_base_.found, out_indices=(3,)),
    head=dict(in_channels=_base_.channels[3]),
)
