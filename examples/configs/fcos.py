# A found backbone in mmdet's FCOS.
_base_ = ["mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py", "found.py"]

model = dict(
    data_preprocessor=_base_.normalization,
    # As its own: batch norms of so small batches keep the statistics that they came with.
    backbone=dict(_delete_=True, **_base_.found, frozen_stages=1, norm_eval=True),
    neck=dict(in_channels=_base_.channels),
)
