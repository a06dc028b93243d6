"""What an evaluator asks of a score."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from pinas_mm.models.supernet import PiNASSupernet


class Score(abc.ABC):
    """Measures architectures by their feature maps.

    The evaluator walks the supernet; a score owns labels, embeddings and metrics. For each batch
    of images it prepares inputs once for all architectures, then gets each one's feature maps.
    A tally is whatever a score gathers for one architecture.

    Attributes:
        names: the metrics it gives; None where they are known only afterwards.
        model: the model it is bound to.
    """

    names: tuple[str, ...] | None = None
    model: nn.Module

    def bind(self, model: nn.Module) -> None:
        """Takes a model.

        Raises:
            UserError: it is not one that the score can read; says which it needs.
        """
        self.check(model)
        self.model = model

    @abc.abstractmethod
    def check(self, model: nn.Module) -> None:
        """Raises :class:`UserError` where a model is not what the score needs."""

    @property
    def backbone(self) -> PiNASSupernet:
        """The supernet to walk."""
        return self.model.backbone

    @property
    def following(self) -> list[nn.Module]:
        """Networks that the score runs after the supernet, as neck and head: their batch norms are
        recalibrated for each architecture too.
        """
        return []

    def follow(self, feats: tuple[torch.Tensor, ...]) -> object:
        """Runs :attr:`following` on an architecture's feature maps."""
        return feats

    def begin(  # noqa: B027
        self, calibration: Sequence[dict], images: Sequence[dict], limit: float
    ) -> None:
        """Computes, once, what is the same for all architectures.

        Args:
            calibration, images: the evaluator's batches, as loaded.
            limit: most bytes of activations to keep.
        """

    @abc.abstractmethod
    def calibration_inputs(self, batch: dict, number: int) -> torch.Tensor:
        """Images (N, C, H, W) to recompute statistics on, of the ``number``-th batch as loaded."""

    @abc.abstractmethod
    def prepare(self, batch: dict, number: int) -> tuple[torch.Tensor, Any]:
        """Images (N, C, H, W) of the ``number``-th batch as loaded, and what to compare with."""

    @abc.abstractmethod
    def new_tally(self) -> Any:
        """An empty tally."""

    @abc.abstractmethod
    def update(self, tally: Any, feats: tuple[torch.Tensor, ...], targets: Any) -> None:
        """Adds an architecture's feature maps of one batch.

        Tensors in a tally stay on their device: reading one here would make the device wait.
        """

    @abc.abstractmethod
    def metrics(self, tally: Any) -> dict[str, float]:
        """Metrics of what was added so far, at least one batch."""
