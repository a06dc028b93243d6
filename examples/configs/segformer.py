# A found backbone under SegFormer's head, of mmseg.
_base_ = ["mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py", "found.py"]

model = dict(
    data_preprocessor=_base_.normalization,
    backbone=dict(_delete_=True, **_base_.found, norm_cfg=_base_.sync_bn),
    decode_head=dict(in_channels=_base_.channels),
)
