# Pi-NAS-trans in mmdet's Faster R-CNN, with the norms and the box head of the paper's Mask R-CNN.
_base_ = [
    "mmdet::_base_/models/faster-rcnn_r50_fpn.py",
    "../_base_/coco_detection.py",
    "../_base_/pinas.py",
]

model = dict(
    backbone=dict(_delete_=True, **_base_.pinas_trans, norm_cfg=_base_.sync_bn),
    neck=dict(norm_cfg=_base_.sync_bn),
    roi_head=dict(
        bbox_head=dict(
            type="Shared4Conv1FCBBoxHead", conv_out_channels=256, norm_cfg=_base_.sync_bn
        )
    ),
)
