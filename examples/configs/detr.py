# A found backbone in mmdet's DETR, which takes the last stage; its learning rate is a tenth there.
_base_ = ["mmdet::detr/detr_r50_8xb2-150e_coco.py", "found.py"]

model = dict(
    data_preprocessor=_base_.normalization,
    backbone=dict(_delete_=True, **_base_.found, out_indices=(3,), frozen_stages=1, norm_eval=True),
    neck=dict(in_channels=_base_.channels[3:]),
)
