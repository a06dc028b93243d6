# Pi-NAS-trans in mmseg's DeepLabV3+ on Cityscapes.
_base_ = ["../_base_/deeplabv3plus.py", "../_base_/cityscapes.py"]

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    test_cfg=dict(mode="slide", crop_size=_base_.crop_size, stride=(512, 512)),
)
