# Pi-NAS-trans in the paper's Mask R-CNN; published: 44.07 box AP, 39.50 mask AP on val2017.
_base_ = [
    "mmdet::_base_/models/mask-rcnn_r50_fpn.py",
    "../_base_/coco_instance.py",
    "../_base_/pinas.py",
]

model = dict(
    backbone=dict(_delete_=True, **_base_.pinas_trans, norm_cfg=_base_.sync_bn),
    neck=dict(norm_cfg=_base_.sync_bn),
    roi_head=dict(
        bbox_head=dict(
            type="Shared4Conv1FCBBoxHead", conv_out_channels=256, norm_cfg=_base_.sync_bn
        ),
        mask_head=dict(norm_cfg=_base_.sync_bn),
    ),
)
