"""Accuracy of a linear probe."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from pinas_mm.errors import UserError
from pinas_mm.registry import SCORES
from pinas_mm.search.evaluation.scores.classification import ClassificationScore


@dataclasses.dataclass
class _Tally:
    correct: torch.Tensor | int = 0  # one count for each k, on the model's device
    images: int = 0


@SCORES.register_module()
class ProbeScore(ClassificationScore):
    """Accuracy of a classifier in a :class:`SinglePath`, ``accuracy/top1`` and so on in percent.

    Equal to mmpretrain's Accuracy, but counted on the device: no transfer for each image.

    Args:
        topk: which top-k accuracies, a number or several.

    Raises:
        UserError: a k is not a whole number of at least 1.
    """

    def __init__(self, topk: int | Sequence[int] = (1, 5)) -> None:
        self.topk = (topk,) if isinstance(topk, int) else tuple(topk)
        if not self.topk or not all(isinstance(k, int) and k >= 1 for k in self.topk):
            raise UserError(f"topk is {topk}: give whole numbers of at least 1")
        self.names = tuple(f"accuracy/top{k}" for k in self.topk)

    def check(self, model: Any) -> None:
        """Raises :class:`UserError` for other models, and where there are fewer classes than k."""
        super().check(model)
        classes = getattr(model.model.head, "num_classes", None)
        if classes is not None and classes < max(self.topk):
            raise UserError(f"topk is {list(self.topk)}, the classifier has {classes} classes")

    def prepare(self, batch: dict[str, Any], number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalized images and their labels, shape (N,)."""
        data = self.preprocessed(batch)
        samples = data["data_samples"] or []
        labels = [sample.gt_label for sample in samples if "gt_label" in sample]
        if len(labels) != len(data["inputs"]) or any(label.numel() != 1 for label in labels):
            raise UserError(
                "ProbeScore needs one label for each image, which the search's data set does not "
                "give: choose a labelled data set, or a score without labels"
            )
        return data["inputs"], torch.cat(labels).to(data["inputs"].device)

    def new_tally(self) -> _Tally:
        """Nothing counted yet."""
        return _Tally()

    def update(self, tally: _Tally, feats: tuple[torch.Tensor, ...], targets: torch.Tensor) -> None:
        """Counts hits."""
        scores = self.follow(feats).softmax(dim=1)
        best, classes = scores.topk(max(self.topk), dim=1)
        # As the metric has it, a class of probability 0 is not predicted.
        hits = (classes == targets[:, None]) & (best > 0)
        tally.correct = tally.correct + torch.stack([hits[:, :k].sum() for k in self.topk])
        tally.images += len(targets)

    def metrics(self, tally: _Tally) -> dict[str, float]:
        """Percentages."""
        shares = (100 * count / tally.images for count in torch.as_tensor(tally.correct).tolist())
        return dict(zip(self.names or (), shares, strict=True))
