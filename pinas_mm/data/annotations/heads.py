"""The classifiers of a model's config, and metrics that need more classes than they have."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.registry import MODELS

from pinas_mm.data.annotations.base import class_of
from pinas_mm.registry import dicts, type_name

# Keys by which models of mmpretrain, mmdet and mmseg call what predicts the data set's classes.
HEADS = ("head", "bbox_head", "mask_head", "decode_head", "auxiliary_head")
# These make targets of their own: STDC's predicts where the borders are.
OWN_TARGETS = ("STDCHead",)


def heads(node: Any, key: str = "model") -> dict[str, int]:
    """Number of classes of each classifier, by its key.

    Args:
        node: config of a model, or a part of it.
        key: where it stands.
    """
    return dict(_heads(node, key))


def _heads(node: Any, key: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, (list, tuple)):
        for number, inner in enumerate(node):
            yield from _heads(inner, f"{key}.{number}")
    elif isinstance(node, dict):
        name = next((part for part in reversed(key.split(".")) if not part.isdigit()), "")
        if name in HEADS and type_name(node) not in OWN_TARGETS:
            classes = node.get("num_classes", _default(node))
            if isinstance(classes, int) and classes > 0:
                yield key, classes
        for name, inner in node.items():
            yield from _heads(inner, f"{key}.{name}")


def _default(head: Mapping[str, Any]) -> int | None:
    """The number of classes that a head has where its config gives none."""
    kind: Any = class_of(head, MODELS)
    classes: tuple[Any, ...] = kind.__mro__ if inspect.isclass(kind) else ()
    for cls in classes:
        parameter = inspect.signature(cls.__init__).parameters.get("num_classes")
        if parameter is not None:
            return parameter.default
    return None


def too_many_guesses(cfg: Mapping[str, Any], split: str) -> Iterator[str]:
    """Metrics that ask for none of the best classes, or for more than the classifier has.

    Args:
        cfg: a whole config.
        split: whose metrics: train means the model's own, search its score.
    """
    key = {"train": "model", "search": "search"}.get(split, f"{split}_evaluator")
    classes = heads(cfg.get("model")).items()
    for node in dicts(cfg.get(key)):
        topk = node.get("topk")
        if topk is None or (split == "train" and not node.get("cal_acc")):
            continue
        numbers = topk if isinstance(topk, (list, tuple)) else [topk]
        largest = max(numbers)
        if isinstance(largest, int) and min(numbers) < 1:
            yield f"{key}: {type_name(node)} has topk={topk}: numbers of at least 1 are allowed"
        for head, number in classes:
            if isinstance(largest, int) and largest > number:
                yield (
                    f"{key}: {type_name(node)} with topk={topk} needs {largest} classes, {head} "
                    f"has num_classes={number}: give topk=(1,)"
                )
