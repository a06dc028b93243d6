"""The demo's transfer: the searched winner, fine-tuned in detection and segmentation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.config import Config

from pinas_mm.demo.jobs import Job, training
from pinas_mm.demo.pictures import draw_predictions
from pinas_mm.demo.scalars import validation_rows
from pinas_mm.demo.schedule import Work
from pinas_mm.model_index import REPOSITORY

PICTURES = 8  # of each network's predictions
PRETRAINED, RANDOM = "pre-trained", "random weights"


@dataclasses.dataclass(frozen=True)
class TransferTask:
    """A network and a data set that the winner is fine-tuned in.

    Attributes:
        name: its folder's.
        title: what the pictures are headed with.
        config: of the training, from the repository's root.
        metrics: names in the findings and in the log, and what turns the log's into percent.
    """

    name: str
    title: str
    config: str
    metrics: dict[str, tuple[str, float]]


# The longest first, so that the lanes end together.
TASKS = (
    TransferTask(
        "mask_rcnn",
        "Mask R-CNN, COCO layout",
        "configs/demo/transfer_mask_rcnn.py",
        {
            "box_ap": ("coco/bbox_mAP", 100),
            "box_ap50": ("coco/bbox_mAP_50", 100),
            "mask_ap": ("coco/segm_mAP", 100),
            "mask_ap50": ("coco/segm_mAP_50", 100),
        },
    ),
    TransferTask(
        "deeplabv3_ade20k",
        "DeepLabV3, ADE20K layout",
        "configs/demo/transfer_deeplabv3_ade20k.py",
        {"ade20k_miou": ("mIoU", 1)},
    ),
    TransferTask(
        "deeplabv3_cityscapes",
        "DeepLabV3, Cityscapes layout",
        "configs/demo/transfer_deeplabv3_cityscapes.py",
        {"cityscapes_miou": ("mIoU", 1)},
    ),
)


def folder_of(folder: Path, task: TransferTask, weights: str = PRETRAINED) -> Path:
    """Work dir of a task's training in a seed's folder."""
    return folder / "transfer" / (task.name if weights == PRETRAINED else f"{task.name}_random")


def work(task: TransferTask) -> Work:
    """What a training of :func:`trainings` will be, before the winner is known."""
    return Work(task.name, Config.fromfile(REPOSITORY / task.config).train_cfg.max_iters)


def trainings(folders: Mapping[int, Path], weights: Sequence[str]) -> list[Job]:
    """The fine-tuning of each seed's winner in every task, the longest first.

    Args:
        folders: by its seed, where each search and its ``winner.pth`` lie.
        weights: of :data:`PRETRAINED` and :data:`RANDOM`, which differ in nothing else.
    """
    return [
        _job(folder, task, seed, which)
        for task in TASKS
        for seed, folder in folders.items()
        for which in weights
    ]


def findings(folder: Path, weights: Sequence[str]) -> dict[str, dict[str, float]]:
    """Metrics of a seed's trainings in percent, a dict for each kind of weights."""
    found: dict[str, dict[str, float]] = {which: {} for which in weights}
    for which, metrics in found.items():
        for task in TASKS:
            row = validation_rows(folder_of(folder, task, which))[-1]
            for name, (logged, factor) in task.metrics.items():
                metrics[name] = factor * row[logged]
    return found


def draw(folder: Path) -> dict[str, list[Path]]:
    """Pictures of what a seed's pre-trained networks predict, in their work dirs, by the tasks'
    titles.
    """
    return {
        task.title: list(draw_predictions(folder_of(folder, task), task.config, PICTURES))
        for task in TASKS
    }


def _job(folder: Path, task: TransferTask, seed: int, weights: str) -> Job:
    arch = (folder / "search" / "best.txt").read_text().strip()
    options: dict[str, object] = {"model.backbone.arch": arch}
    if weights == PRETRAINED:
        options["model.backbone.init_cfg.type"] = "Pretrained"
        options["model.backbone.init_cfg.checkpoint"] = (folder / "winner.pth").resolve()
    name = f"{task.name.replace('_', ' ')}{', random' if weights == RANDOM else ''}, seed {seed}"
    work_dir = folder_of(folder, task, weights)
    return training(name, task.config, work_dir, seed, options, task.name)
