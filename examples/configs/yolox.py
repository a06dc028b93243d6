# A found backbone in mmdet's YOLOX, which takes the last three stages and images as they are, in
# BGR: this one wants them normalized.
_base_ = ["mmdet::yolox/yolox_s_8xb8-300e_coco.py", "found.py"]

model = dict(
    data_preprocessor=_base_.normalization,
    backbone=dict(_delete_=True, **_base_.found, out_indices=(1, 2, 3)),
    neck=dict(in_channels=_base_.channels[1:]),
)
