# Pi-NAS-trans in the paper's DeepLabV3 on Cityscapes; published: 80.70 mIoU.
_base_ = ["../_base_/deeplabv3.py", "../_base_/cityscapes.py"]

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    test_cfg=dict(mode="slide", crop_size=_base_.crop_size, stride=(512, 512)),
)
