# A found backbone in mmseg's UPerNet.
_base_ = ["mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py", "found.py"]

model = dict(
    data_preprocessor=_base_.normalization,
    pretrained=None,
    backbone=dict(_delete_=True, **_base_.found, norm_cfg=_base_.sync_bn),
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
