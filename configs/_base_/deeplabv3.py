# DeepLabV3 with the release's head on Pi-NAS-trans, output stride 8. What the paper does not say is
# mmseg's: the losses' weights, 19 classes unless a config says otherwise.
_base_ = ["mmseg::_base_/models/deeplabv3_r50-d8.py", "pinas.py"]

model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        **_base_.pinas_trans,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        norm_cfg=_base_.sync_bn,
    ),
    decode_head=dict(type="pinas_mm.DeepLabV3ReleaseHead", channels=256, align_corners=True),
    auxiliary_head=dict(align_corners=True),
)
