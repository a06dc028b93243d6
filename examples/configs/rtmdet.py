# A found backbone in mmdet's RTMDet, which takes the last three stages.
_base_ = ["mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py", "found.py"]

model = dict(
    data_preprocessor=_base_.normalization,
    backbone=dict(_delete_=True, **_base_.found, out_indices=(1, 2, 3)),
    neck=dict(in_channels=_base_.channels[1:]),
)
