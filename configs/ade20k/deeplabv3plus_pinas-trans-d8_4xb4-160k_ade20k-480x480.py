# Pi-NAS-trans in mmseg's DeepLabV3+ on ADE20K.
_base_ = ["../_base_/deeplabv3plus.py", "../_base_/ade20k.py"]

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
)
