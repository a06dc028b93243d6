"""What COCO's metric leaves to those who ask it: the ground truth of images, and empty results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement, InstanceData

from pinas_mm.errors import UserError


def is_coco(metric: BaseMetric) -> bool:
    """Whether a metric is mmdet's CocoMetric, or one of its kind."""
    return any(cls.__name__ == "CocoMetric" for cls in type(metric).__mro__)


def check_annotated(metric: BaseMetric, ann_file: str | None) -> None:
    """Raises :class:`UserError` where a metric's annotation file has none."""
    truth = getattr(metric, "_coco_api", None)
    if truth is not None and not truth.anns:
        raise UserError(
            f"{ann_file} of {type(metric).__name__} has no annotations, without which there is no "
            "average precision: name the annotations of the search's images in "
            "search.score.metrics"
        )


def shared_annotations(metrics: Sequence[BaseMetric]) -> dict[int, Any]:
    """What copies of metrics share, as :func:`copy.deepcopy`'s memo: annotations of a whole data
    set, which need not be there once for each architecture.
    """
    return {id(v): v for m in metrics for v in vars(m).values() if hasattr(v, "anns")}


def check_truth(
    metric: BaseMetric, ann_file: str | None, samples: Sequence[BaseDataElement]
) -> None:
    """Holds images against what a metric knows of them.

    Args:
        metric: of COCO's kind.
        ann_file: the metric's.
        samples: data samples of a batch, as loaded.

    Raises:
        UserError: it knows nothing of an image, or something of another one of the same id.
    """
    truth = getattr(metric, "_coco_api", None)
    for sample in samples:
        if "img_id" not in sample:  # Of another task's data set: the metric itself fails on it.
            continue
        if truth is None:
            if "instances" in sample:
                continue
            raise UserError(
                f"{type(metric).__name__} has no ann_file, and the search's images bring no "
                "instances along: name their annotation file in search.score.metrics, or add "
                "'instances' to meta_keys of PackDetInputs, with test_mode=True"
            )
        image = sample.get("img_id")
        entry = truth.imgs.get(image)
        if entry is None or not _same_image(entry, sample):
            known = "does not have" if entry is None else f"has {_named(entry)} as"
            raise UserError(
                f"{ann_file} of {type(metric).__name__} {known} image {image}, which the search "
                f"reads from {sample.get('img_path')}: name the annotation file of "
                "search.dataloader's images in search.score.metrics"
            )


def missed(sample: Any) -> BaseDataElement:
    """A prediction of one box that hits nothing, of score 0: what COCO's evaluation, which refuses
    empty results, then gives is what it would give for none.

    Args:
        sample: some prediction without instances.
    """
    found = InstanceData(bboxes=torch.tensor([[-2.0, -2.0, -1.0, -1.0]]), scores=torch.zeros(1))
    found.labels = torch.zeros(1, dtype=torch.long)
    if "masks" in sample.pred_instances:
        found.masks = torch.zeros(1, *sample.ori_shape, dtype=torch.bool)
    copy = sample.new()
    copy.pred_instances = found
    return copy


def _same_image(entry: dict[str, Any], sample: BaseDataElement) -> bool:
    """Whether name and size are one image's, as far as both are known; it may be turned."""
    name, path = entry.get("file_name"), sample.get("img_path")
    size: tuple[Any, Any]
    size, shape = (entry.get("width"), entry.get("height")), sample.get("ori_shape")
    named = not name or not path or Path(name).name == Path(path).name
    return named and (None in size or not shape or sorted(size) == sorted(shape[:2]))


def _named(entry: dict[str, Any]) -> str:
    return f"{entry.get('file_name')} of {entry.get('width')} x {entry.get('height')} pixels"
