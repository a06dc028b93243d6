# mmseg's DeepLabV3+ on Pi-NAS-trans, output stride 8.
_base_ = ["mmseg::_base_/models/deeplabv3plus_r50-d8.py", "pinas.py"]

model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        **_base_.pinas_trans,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        norm_cfg=_base_.sync_bn,
    ),
)
