# Pi-NAS-trans in mmdet's RetinaNet, with SyncBN in backbone and pyramid.
_base_ = [
    "mmdet::_base_/models/retinanet_r50_fpn.py",
    "../_base_/coco_detection.py",
    "../_base_/pinas.py",
]

model = dict(
    backbone=dict(_delete_=True, **_base_.pinas_trans, norm_cfg=_base_.sync_bn),
    neck=dict(norm_cfg=_base_.sync_bn),
)

# mmdet's for RetinaNet.
optim_wrapper = dict(optimizer=dict(lr=0.01))
