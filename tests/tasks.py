"""Supernets inside detectors, a segmentor and a classifier: config files and checkpoints."""

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
network.setdefault("out_indices", (0, 1, 2, 3))
network["init_cfg"] = dict(type="pinas_mm.FromSupernet", checkpoint="gone.pth")
model = dict(_delete_=True, type="pinas_mm.SinglePath", model=dict(inner, backbone=network))
model_wrapper_cfg = dict(type="pinas_mm.SupernetDataParallel")
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


def write_task(name: str, folder: Path) -> Path:
    """The config file of a task, in a folder; a classifier's is the repository's."""
    if name == "classifier":
        return CONFIGS / "small_search.py"
    file = folder / f"{name}.py"
    file.write_text(TASKS[name].format(configs=REPOSITORY / "configs") + SUPERNET)
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
