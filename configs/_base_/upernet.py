# mmseg's UPerNet on Pi-NAS-trans, output stride 32.
_base_ = ["mmseg::_base_/models/upernet_r50.py", "pinas.py"]

model = dict(
    pretrained=None,
    backbone=dict(_delete_=True, **_base_.pinas_trans, norm_cfg=_base_.sync_bn),
)
