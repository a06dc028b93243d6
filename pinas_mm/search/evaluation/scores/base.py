"""What an evaluator asks of a score, of feature maps or of an architecture by itself."""

from __future__ import annotations

import abc
import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from pinas_mm.algorithms.base import SupernetAlgorithm
from pinas_mm.analysis.shift import images_of
from pinas_mm.errors import UserError
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.space import Arch


class Score(abc.ABC):
    """Measures architectures: by their feature maps a :class:`FeatureScore`, each by itself an
    :class:`ArchScore`.

    Attributes:
        names: the metrics it gives; None where they are known only afterwards.
        version: raised where the same settings give other numbers than before, so that no record
            mixes them.
        model: the model it is bound to, of a class that :meth:`check` lets pass.
    """

    names: tuple[str, ...] | None = None
    version: ClassVar[int] = 0
    model: Any

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
        """The supernet whose paths are measured."""
        return self.model.backbone

    @abc.abstractmethod
    def image_size(self, batch: dict[str, Any]) -> tuple[int, int]:
        """Height and width of a loaded batch's images as the network gets them."""


class FeatureScore(Score):
    """Measures architectures by their feature maps.

    The evaluator walks the supernet; a score owns labels, embeddings and metrics. For each batch
    of images it prepares inputs once for all architectures, then gets each one's feature maps.
    A tally is whatever a score gathers for one architecture.
    """

    # Whether the score runs the supernet itself, on other images than those that it prepares, as on
    # crops: architectures share nothing then, and it gets no feature maps, but a path is set.
    whole: bool = False

    def image_size(self, batch: dict[str, Any]) -> tuple[int, int]:
        """Height and width in pixels of what it scores on."""
        height, width = self.prepare(batch, 0)[0].shape[-2:]
        return height, width

    @property
    def following(self) -> list[nn.Module]:
        """Networks that the score runs after the supernet, as neck and head: their batch norms are
        recalibrated for each architecture too.
        """
        return []

    def follow(self, feats: tuple[torch.Tensor, ...], targets: Any = None) -> object:
        """Runs :attr:`following` on an architecture's feature maps.

        Args:
            feats: what the supernet gives.
            targets: what was prepared with the images.
        """
        return feats

    def begin(
        self,
        calibration: Sequence[dict[str, Any]] | None,
        images: Sequence[dict[str, Any]],
        limit: float,
    ) -> None:
        """Computes, once, what is the same for all architectures.

        Args:
            calibration, images: the evaluator's batches, as loaded; ``calibration`` is None where
                nothing is recalibrated.
            limit: most bytes of activations to keep.
        """

    def prepare_calibration(self, batch: dict[str, Any], number: int) -> tuple[torch.Tensor, Any]:
        """The same as :meth:`prepare` of a batch to recompute statistics on."""
        return self.prepare(batch, number)

    @abc.abstractmethod
    def prepare(self, batch: dict[str, Any], number: int) -> tuple[torch.Tensor, Any]:
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
        """Metrics of what was added so far, at least one batch: numbers, NumPy's and tensors
        without dimensions among them, by name.
        """


class ArchScore(Score):
    """Measures each architecture by itself, at once: a model and a path.

    Nothing is recomputed for it, neither statistics nor anything else, and it takes no part of the
    images first: there is no calibration and no pruning.

    Attributes:
        num_images: how many images it looks at, as one batch; a search loads these and no more.
        collective: whether measuring calls operations of all ranks, as losses may, so that in a
            distributed run all of them must measure the same architectures at the same time.
    """

    num_images: int = 1
    collective: ClassVar[bool] = False

    def check(self, model: nn.Module) -> None:
        """Raises :class:`UserError` where there is no supernet to choose paths of."""
        if not isinstance(model, SupernetAlgorithm):
            raise UserError(
                f"{type(self).__name__} needs a model that trains a supernet, as pinas_mm.PiNAS or "
                f"pinas_mm.SinglePath, not {type(model).__name__}"
            )

    def image_size(self, batch: dict[str, Any]) -> tuple[int, int]:
        """Height and width in pixels of the normalized images."""
        height, width = self.inputs(batch).shape[-2:]
        return height, width

    def inputs(self, batch: dict[str, Any]) -> torch.Tensor:
        """Normalized images (N, C, H, W) of a loaded batch, in the network's precision."""
        data = self.model.data_preprocessor(copy.deepcopy(batch), False)
        return images_of(data).to(next(self.backbone.parameters()).dtype)

    def begin(self, images: Sequence[dict[str, Any]]) -> None:
        """Computes, once, what is the same for all architectures.

        Args:
            images: the evaluator's batches, as loaded.
        """

    @abc.abstractmethod
    def measure(self, arch: Arch) -> dict[str, float]:
        """Metrics of an architecture, whatever was measured before; leaves the model as it was, to
        the bit. It is called without gradient, in evaluation mode.
        """
