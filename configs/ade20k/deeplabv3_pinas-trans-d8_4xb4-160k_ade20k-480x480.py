# Pi-NAS-trans in the paper's DeepLabV3 on ADE20K; published: 81.27 pixel accuracy, 45.47 mIoU.
_base_ = ["../_base_/deeplabv3.py", "../_base_/ade20k.py"]

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
)
