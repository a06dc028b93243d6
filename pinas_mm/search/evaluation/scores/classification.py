"""What scores of classifiers have in common."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pinas_mm.algorithms.single_path import SinglePath
from pinas_mm.errors import UserError
from pinas_mm.search.evaluation.scores.base import FeatureScore


class ClassificationScore(FeatureScore):
    """A score of a classifier in a :class:`SinglePath`; images come as its data preprocessor gives
    them.
    """

    def check(self, model: nn.Module) -> None:
        """Raises :class:`UserError` where the model is not a classifier with a head."""
        inner = getattr(model, "model", None)
        if not isinstance(model, SinglePath) or not getattr(inner, "with_head", False):
            kind = f"{type(model).__name__}{f' of {type(inner).__name__}' if inner else ''}"
            raise UserError(
                f"{type(self).__name__} needs a pinas_mm.SinglePath of an ImageClassifier with a "
                f"head, not {kind}: train one on the supernet (configs/pinas_linear.py), or "
                "search without labels by pinas_mm.CrossPathScore"
            )

    def prepare_calibration(self, batch: dict[str, Any], number: int) -> tuple[torch.Tensor, None]:
        """Normalized images; labels are not needed."""
        return self.preprocessed(batch)["inputs"], None

    def preprocessed(self, batch: dict[str, Any]) -> dict[str, Any]:
        """``inputs`` (N, C, H, W) in the network's precision and ``data_samples``."""
        data = self.model.data_preprocessor(batch, False)
        dtype = next(self.backbone.parameters()).dtype
        return dict(inputs=data["inputs"].to(dtype), data_samples=data.get("data_samples"))

    @property
    def classifier(self) -> Any:
        """The model inside."""
        return self.model.model

    @property
    def following(self) -> list[nn.Module]:
        """Neck and head."""
        classifier = self.classifier
        return [*([classifier.neck] if classifier.with_neck else []), classifier.head]

    def follow(self, feats: tuple[torch.Tensor, ...], targets: Any = None) -> torch.Tensor:
        """The classifier's outputs (N, classes)."""
        return self.classifier.head(self.pooled(feats))

    def pooled(self, feats: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """What the head takes."""
        return self.classifier.neck(feats) if self.classifier.with_neck else feats
