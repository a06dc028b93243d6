"""Tiny detectors and segmentors with a supernet as their backbone, and batches for them."""

import torch
from mmdet.testing import demo_mm_inputs
from mmengine.config import ConfigDict
from mmengine.evaluator import BaseMetric
from mmengine.structures import PixelData
from mmengine.utils import import_modules_from_strings
from mmseg.structures import SegDataSample
from single_paths import supernet

from pinas_mm.registry import METRICS

import_modules_from_strings(["mmdet.models", "mmseg.models"])


def detector(space, **backbone):
    channels = 8
    norm = dict(type="GN", num_groups=2)
    return ConfigDict(
        type="FCOS",
        _scope_="mmdet",
        data_preprocessor=dict(
            type="DetDataPreprocessor", mean=[120.0] * 3, std=[60.0] * 3, pad_size_divisor=16
        ),
        backbone=supernet(space, out_indices=(0, 1), **backbone),
        neck=dict(
            type="FPN",
            in_channels=list(space.out_channels),
            out_channels=channels,
            num_outs=3,
            add_extra_convs="on_output",
        ),
        bbox_head=dict(
            type="FCOSHead",
            num_classes=4,
            in_channels=channels,
            feat_channels=channels,
            stacked_convs=1,
            strides=[4, 8, 16],
            regress_ranges=((-1, 16), (16, 32), (32, 1e8)),
            norm_cfg=norm,
        ),
        test_cfg=dict(
            nms_pre=50, score_thr=0.0, nms=dict(type="nms", iou_threshold=0.6), max_per_img=9
        ),
    )


def detections():
    return demo_mm_inputs(2, [(3, 48, 64), (3, 64, 56)], num_items=[2, 3], num_classes=4)


def segmentor(space, **backbone):
    return ConfigDict(
        type="EncoderDecoder",
        _scope_="mmseg",
        data_preprocessor=dict(
            type="SegDataPreProcessor",
            mean=[120.0] * 3,
            std=[60.0] * 3,
            size=(32, 48),
            seg_pad_val=255,
        ),
        backbone=supernet(space, dilations=(1, 2), **backbone),
        decode_head=dict(
            type="FCNHead",
            in_channels=space.out_channels[-1],
            in_index=0,
            channels=8,
            num_convs=1,
            num_classes=3,
            dropout_ratio=0.0,
            norm_cfg=dict(type="BN"),
        ),
        test_cfg=dict(mode="whole"),
    )


def segments():
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 32, 48), generator=random).byte()
    samples = []
    for labels in torch.randint(0, 3, (2, 1, 32, 48), generator=random):
        shape = dict(img_shape=(32, 48), ori_shape=(32, 48))
        sample = SegDataSample(metainfo=shape)
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    return dict(inputs=list(images), data_samples=samples)


def mask_rcnn(space, norm="BN", **backbone):
    """A Mask R-CNN with batch norms in neck and heads."""
    channels, norm_cfg = 8, dict(type=norm)
    roi = dict(
        type="SingleRoIExtractor", out_channels=channels, featmap_strides=[4, 8], finest_scale=16
    )
    rpn = dict(nms_pre=20, max_per_img=8, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0)
    assigner = dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.3)
    sampler = dict(type="RandomSampler", num=8, pos_fraction=0.5)
    coder = dict(type="DeltaXYWHBBoxCoder")
    return ConfigDict(
        type="MaskRCNN",
        _scope_="mmdet",
        data_preprocessor=dict(
            type="DetDataPreprocessor",
            mean=[120.0] * 3,
            std=[60.0] * 3,
            pad_size_divisor=16,
            pad_mask=True,
        ),
        backbone=supernet(space, out_indices=(0, 1), **backbone),
        neck=dict(
            type="FPN",
            in_channels=list(space.out_channels),
            out_channels=channels,
            num_outs=3,
            norm_cfg=norm_cfg,
        ),
        rpn_head=dict(
            type="RPNHead",
            in_channels=channels,
            feat_channels=channels,
            anchor_generator=dict(
                type="AnchorGenerator", scales=[4], ratios=[0.5, 1.0], strides=[4, 8, 16]
            ),
            bbox_coder=coder,
        ),
        roi_head=dict(
            type="StandardRoIHead",
            bbox_roi_extractor=dict(roi, roi_layer=dict(type="RoIAlign", output_size=4)),
            bbox_head=dict(
                type="Shared4Conv1FCBBoxHead",
                in_channels=channels,
                conv_out_channels=channels,
                fc_out_channels=16,
                roi_feat_size=4,
                num_classes=4,
                norm_cfg=norm_cfg,
                bbox_coder=coder,
            ),
            mask_roi_extractor=dict(roi, roi_layer=dict(type="RoIAlign", output_size=6)),
            mask_head=dict(
                type="FCNMaskHead",
                num_convs=1,
                in_channels=channels,
                conv_out_channels=channels,
                num_classes=4,
                norm_cfg=norm_cfg,
            ),
        ),
        train_cfg=dict(
            rpn=dict(assigner=assigner, sampler=sampler, allowed_border=-1, pos_weight=-1),
            rpn_proposal=rpn,
            rcnn=dict(assigner=assigner, sampler=sampler, mask_size=12, pos_weight=-1),
        ),
        test_cfg=dict(
            rpn=rpn,
            rcnn=dict(
                score_thr=0.0,
                nms=dict(type="nms", iou_threshold=0.5),
                max_per_img=5,
                mask_thr_binary=0.5,
            ),
        ),
    )


def masked_detections():
    """Those of :func:`detections`, with masks."""
    return demo_mm_inputs(
        2, [(3, 48, 64), (3, 64, 56)], num_items=[2, 3], num_classes=4, with_mask=True
    )


def rtmdet_instances(space, **backbone):
    """An RTMDet-Ins, whose loss puts other masks into its samples."""
    channels = 8
    return ConfigDict(
        type="RTMDet",
        _scope_="mmdet",
        data_preprocessor=dict(type="DetDataPreprocessor", pad_size_divisor=16, pad_mask=True),
        backbone=supernet(space, out_indices=(0, 1), **backbone),
        neck=dict(
            type="FPN", in_channels=list(space.out_channels), out_channels=channels, num_outs=3
        ),
        bbox_head=dict(
            type="RTMDetInsSepBNHead",
            num_classes=4,
            in_channels=channels,
            feat_channels=channels,
            stacked_convs=1,
            share_conv=True,
            pred_kernel_size=1,
            act_cfg=dict(type="ReLU"),
            norm_cfg=dict(type="BN"),
            anchor_generator=dict(type="MlvlPointGenerator", offset=0, strides=[4, 8, 16]),
            bbox_coder=dict(type="DistancePointBBoxCoder"),
            loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
            loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
            loss_mask=dict(type="DiceLoss", loss_weight=2.0, eps=5e-6, reduction="mean"),
        ),
        train_cfg=dict(
            assigner=dict(type="DynamicSoftLabelAssigner", topk=3),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        test_cfg=dict(
            nms_pre=50,
            min_bbox_size=0,
            score_thr=0.0,
            nms=dict(type="nms", iou_threshold=0.6),
            max_per_img=9,
            mask_thr_binary=0.5,
        ),
    )


def sliding_segmentor(space, **backbone):
    """A segmentor that cuts larger images into crops."""
    config = segmentor(space, **backbone)
    config.test_cfg = dict(mode="slide", crop_size=(32, 32), stride=(16, 16))
    return config


def with_instances(batch):
    """A batch whose samples have their ground truth as CocoMetric reads it."""
    for number, sample in enumerate(batch["data_samples"]):
        truth = sample.gt_instances
        instances = [
            dict(bbox=box.tolist(), bbox_label=int(label), ignore_flag=0)
            for box, label in zip(truth.bboxes, truth.labels, strict=True)
        ]
        sample.set_metainfo(dict(instances=instances, img_id=number))
    return batch


@METRICS.register_module()
class EveryNumber(BaseMetric):
    """Sums of all that is predicted: they show what rounded metrics would hide."""

    def process(self, data_batch, data_samples):
        for sample in data_samples:
            if "seg_logits" in sample:
                self.results.append([sample["seg_logits"]["data"]])
            elif "pred_score" in sample:
                self.results.append([sample["pred_score"]])
            else:
                self.results.append([v for _, v in sorted(sample["pred_instances"].items())])

    def compute_metrics(self, results):
        columns = zip(*results, strict=True)
        return {f"sum{n}": sum(float(v.double().sum()) for v in c) for n, c in enumerate(columns)}
