# A found backbone in mmseg's PSPNet: output stride 8, the last two stages dilated instead.
_base_ = ["mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py", "found.py"]

model = dict(
    data_preprocessor=_base_.normalization,
    pretrained=None,
    backbone=dict(
        _delete_=True,
        **_base_.found,
        norm_cfg=_base_.sync_bn,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
    ),
    decode_head=dict(in_channels=_base_.channels[3]),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
