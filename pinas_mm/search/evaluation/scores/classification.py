"""What scores of classifiers have in common."""

from __future__ import annotations

import torch
from torch import nn

from pinas_mm.algorithms.supernet_classifier import SupernetClassifier
from pinas_mm.errors import UserError
from pinas_mm.search.evaluation.scores.base import Score


class ClassificationScore(Score):
    """A score of a :class:`SupernetClassifier`; images come as its data preprocessor gives them."""

    def check(self, model: nn.Module) -> None:
        """Raises :class:`UserError` where the model is not a classifier with a head."""
        if not isinstance(model, SupernetClassifier) or not model.with_head:
            raise UserError(
                f"{type(self).__name__} needs a pinas_mm.SupernetClassifier with a head, not "
                f"{type(model).__name__}: train one on the supernet (configs/pinas_linear.py), or "
                "search without labels by pinas_mm.CrossPathScore"
            )

    def calibration_inputs(self, batch: dict, number: int) -> torch.Tensor:
        """Normalized images."""
        return self.preprocessed(batch)["inputs"]

    def preprocessed(self, batch: dict) -> dict:
        """``inputs`` (N, C, H, W) in the network's precision and ``data_samples``."""
        data = self.model.data_preprocessor(batch, False)
        dtype = next(self.backbone.parameters()).dtype
        return dict(inputs=data["inputs"].to(dtype), data_samples=data.get("data_samples"))

    def pooled(self, feats: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """What the head takes."""
        return self.model.neck(feats) if self.model.with_neck else feats
