"""Supernets inside detectors, segmentors and a classifier: config files and checkpoints."""

import copy
from pathlib import Path

import torch
from conftest import CONFIGS, REPOSITORY, move_apart
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope

from pinas_mm.algorithms import SinglePath
from pinas_mm.export.subnet import network_config
from pinas_mm.registry import MODELS

# What a user's config of a supernet has: the demo's transfer with the supernet as its backbone.
SUPERNET = """
network = dict(inner.pop("backbone"), type="pinas_mm.PiNASSupernet", norm_cfg=dict(type="SyncBN"))
del network["arch"]
network.setdefault("out_indices", (0, 1, 2))
network["space"] = dict(network["space"], candidates=network["space"]["candidates"][:4])
network["init_cfg"] = dict(type="pinas_mm.FromSupernet", checkpoint="gone.pth")
model = dict(_delete_=True, type="pinas_mm.SinglePath", model=dict(inner, backbone=network))
model_wrapper_cfg = dict(type="pinas_mm.PathDataParallel")
calibration = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=_base_.train_dataloader.dataset,
)
loop = dict(calibration_dataloader=calibration, calibration_batches=2, num_archs=1)
val_cfg = dict(_delete_=True, type="pinas_mm.SupernetValLoop", **loop)
test_cfg = dict(_delete_=True, type="pinas_mm.SupernetTestLoop", fp16=False, **loop)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="pinas_mm.ArchSearchHook", search=dict(trials=2), interval=1),
]
search = dict(trials=2)
load_from = "before.pth"
work_dir = "work_dirs/supernet"
"""
MASK_RCNN = """
_base_ = ["{configs}/demo/transfer_mask_rcnn.py"]
inner = dict(_base_.model)
inner["neck"]["norm_cfg"] = inner["roi_head"]["mask_head"]["norm_cfg"] = dict(type="SyncBN")
inner["roi_head"]["bbox_head"]["norm_cfg"] = dict(type="SyncBN")
inner["test_cfg"]["rpn"]["max_per_img"] = 16
inner["test_cfg"]["rcnn"]["max_per_img"] = 5
small = dict(type="Resize", scale=(96, 72), keep_ratio=True)
_base_.val_dataloader["dataset"]["pipeline"][1] = small
_base_.test_dataloader["dataset"]["pipeline"][1] = small
"""
FCOS = """
_base_ = ["{configs}/demo/transfer_mask_rcnn.py"]
inner = dict(
    type="FCOS",
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    neck=dict(_base_.model.neck, norm_cfg=dict(type="SyncBN")),
    bbox_head=dict(
        type="FCOSHead",
        num_classes=10,
        in_channels=48,
        feat_channels=32,
        stacked_convs=1,
        strides=[4, 8],
        regress_ranges=((-1, 32), (32, 1e8)),
        norm_cfg=dict(type="BN"),
    ),
    test_cfg=dict(
        nms_pre=100, score_thr=0.0, nms=dict(type="nms", iou_threshold=0.6), max_per_img=20
    ),
)
small = dict(type="Resize", scale=(96, 72), keep_ratio=True)
_base_.val_dataloader["dataset"]["pipeline"][1] = small
_base_.test_dataloader["dataset"]["pipeline"][1] = small
val_evaluator = dict(metric=["bbox"])
test_evaluator = val_evaluator
"""
DEEPLABV3 = """
_base_ = ["{configs}/demo/transfer_deeplabv3_ade20k.py"]
_base_.val_dataloader["dataset"]["pipeline"][1]["scale"] = (40, 40)
_base_.test_dataloader["dataset"]["pipeline"][1]["scale"] = (40, 40)
inner = dict(_base_.model)
"""
TASKS = dict(fcos=FCOS, mask_rcnn=MASK_RCNN, deeplabv3=DEEPLABV3)
# What a user writes over a library's config: the supernet in the backbone's place, and what suits.
OVER = """
_base_ = "{base}"
custom_imports = dict(imports=["pinas_mm"], allow_failed_imports=False)
backbone = dict(
    type="pinas_mm.PiNASSupernet",
    space=dict(
        candidates=[(1, 1, 64), (2, 1, 64), (1, 2, 32)],
        depths=(1, 1, 1, 1),
        widths=(32, 32, 64, 64),
        expansion=2,
        stem_widths=(32, 32, 64),
    ),
    out_indices=(0, 1, 2, 3),
    norm_cfg=dict(type="SyncBN"),
)
inner = dict(_base_.model, backbone=backbone)
{changes}
model = dict(_delete_=True, type="pinas_mm.SinglePath", model=inner)
loop = dict(
    calibration_dataloader=_base_.train_dataloader, calibration_batches=2, num_archs=1
)
val_cfg = dict(_delete_=True, type="pinas_mm.SupernetValLoop", **loop)
test_cfg = dict(_delete_=True, type="pinas_mm.SupernetTestLoop", **loop)
search = dict(
    score=dict(type="pinas_mm.PredictScore", metrics=_base_.val_evaluator),
    objectives=["{metric}"],
    calibration_batches=2,
)
"""
PYRAMID = """
inner["neck"].update(in_channels=[64, 64, 128, 128], out_channels=256)
inner["bbox_head"].update(in_channels=256, feat_channels=256, stacked_convs=1)
"""
RTMDET = """
backbone["out_indices"] = (1, 2, 3)
inner["neck"].update(in_channels=[64, 128, 128], out_channels=64)
inner["bbox_head"].update(in_channels=64, feat_channels=64, stacked_convs=1)
"""
PSPNET = """
backbone["space"]["strides"], backbone["dilations"] = (1, 2, 1, 1), (1, 1, 2, 4)
del inner["pretrained"]
inner["decode_head"].update(in_channels=128, channels=64)
inner["auxiliary_head"].update(in_channels=128, channels=64)
"""
LIBRARIES = dict(
    fcos=("mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py", PYRAMID, "coco/bbox_mAP"),
    atss=("mmdet::atss/atss_r50_fpn_1x_coco.py", PYRAMID, "coco/bbox_mAP"),
    rtmdet=("mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py", RTMDET, "coco/bbox_mAP"),
    pspnet=("mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py", PSPNET, "mIoU"),
    segformer=(
        "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py",
        'inner["decode_head"].update(in_channels=[64, 64, 128, 128], channels=64)',
        "mIoU",
    ),
    classifier=(
        "mmpretrain::resnet/resnet50_8xb32_in1k.py",
        'inner["head"]["in_channels"] = 128',
        "accuracy/top1",
    ),
)


def write_task(name: str, folder: Path) -> Path:
    """The config file of a task, in a folder; a classifier's is the repository's."""
    if name == "classifier":
        return CONFIGS / "small_search.py"
    file = folder / f"{name}.py"
    file.write_text(TASKS[name].format(configs=REPOSITORY / "configs") + SUPERNET)
    return file


def write_library_task(name: str, folder: Path) -> Path:
    """The config file of a library's own config with a supernet in it, in a folder."""
    base, changes, metric = LIBRARIES[name]
    file = folder / f"{name}.py"
    file.write_text(OVER.format(base=base, changes=changes, metric=metric))
    return file


def trained(cfg: Config, file: Path) -> SinglePath:
    """A config's supernet with weights and statistics that nothing else has, and its checkpoint."""
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    cfg = copy.deepcopy(cfg)
    network_config(cfg).pop("init_cfg", None)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    model.init_weights()
    move_apart(model)
    generator = torch.Generator().manual_seed(3)
    for name, value in model.state_dict().items():
        if name.endswith("running_mean"):
            value.copy_(torch.rand(value.shape, generator=generator))
    meta = dict(epoch=1, dataset_meta=dict(classes=["one", "two"], palette=[[0, 0, 0], [9, 9, 9]]))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), file)
    return model.eval()
