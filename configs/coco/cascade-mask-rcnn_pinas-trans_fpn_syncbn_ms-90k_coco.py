# Pi-NAS-trans in mmdet's Cascade Mask R-CNN, with the norms and the box heads of the paper's Mask
# R-CNN.
_base_ = [
    "mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py",
    "../_base_/coco_instance.py",
    "../_base_/pinas.py",
]

box_head = dict(type="Shared4Conv1FCBBoxHead", conv_out_channels=256, norm_cfg=_base_.sync_bn)
model = dict(
    backbone=dict(_delete_=True, **_base_.pinas_trans, norm_cfg=_base_.sync_bn),
    neck=dict(norm_cfg=_base_.sync_bn),
    roi_head=dict(
        # A list is replaced as a whole: the base's three heads, each with what changes.
        bbox_head=[dict(head, **box_head) for head in _base_.model.roi_head.bbox_head],
        mask_head=dict(norm_cfg=_base_.sync_bn),
    ),
)
