"""What stands around the choice blocks."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pinas_mm.operations.base import BlockSpec, config_type, texts_for_classes

if TYPE_CHECKING:
    from torch import nn


class Skeleton(abc.ABC):
    """Stem, stage transitions, shared shortcuts and what ends a stage.

    Subclasses are frozen dataclasses of plain values, described without torch, and registered in
    :data:`pinas_mm.registry.SKELETONS`. Depths, widths and strides are the search space's; the
    class has defaults for them.

    Attributes:
        depths, widths, strides: what a space of this skeleton has unless it says otherwise.
        rectified: whether blocks end in a ReLU.
        transitions: whether a layer of its own strides and widens between two stages, so that all
            blocks keep their input's shape.
        input_weight: name of the weight whose second dimension is the images' channels; weights
            of a network without one of this name serve for its own number of channels alone.
    """

    # That subclasses are dataclasses, for type checkers.
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    depths: ClassVar[tuple[int, ...]]
    widths: ClassVar[tuple[int, ...]]
    strides: ClassVar[tuple[int, ...]]
    rectified: ClassVar[bool] = True
    transitions: ClassVar[bool] = False
    input_weight: ClassVar[str] = "stem.0.weight"

    @property
    @abc.abstractmethod
    def stem_reduction(self) -> int:
        """How many times smaller than the images the stem's output is."""

    @property
    @abc.abstractmethod
    def stem_layers(self) -> tuple[str, ...]:
        """The stem's layers in a few characters each, for figures."""

    @abc.abstractmethod
    def stem_channels(self, widths: Sequence[int]) -> int:
        """Channels of the stem's output."""

    @abc.abstractmethod
    def stem(
        self, in_channels: int, widths: Sequence[int], norm_cfg: dict[str, Any]
    ) -> dict[str, nn.Module]:
        """The stem's modules in the order they run, by their names in the network."""

    def block_channels(self, widths: Sequence[int]) -> tuple[int, ...]:
        """Output channels of each stage's blocks."""
        return tuple(widths)

    def out_channels(self, widths: Sequence[int]) -> tuple[int, ...]:
        """Channels of the feature map that each stage returns."""
        return self.block_channels(widths)

    def transition(
        self, in_channels: int, out_channels: int, kernel: int, stride: int
    ) -> nn.Module | None:
        """What stands before a stage's first block, where the skeleton has ``transitions``.

        Args:
            in_channels, out_channels: of it.
            kernel: the space's stride there, so that weights do not depend on the network's.
            stride: the network's stride there.
        """
        return None

    def shortcut(self, spec: BlockSpec, norm_cfg: dict[str, Any]) -> nn.Module | None:
        """The projection on a block's identity path, one for all candidates; None for none."""
        return None

    def output(self, widths: Sequence[int], norm_cfg: dict[str, Any]) -> nn.Module | None:
        """What the last stage's feature map passes before it is returned; None for nothing."""
        return None

    def to_dict(self) -> dict[str, Any]:
        """Its config: plain values, and a ``type`` that the registry knows."""
        fields = texts_for_classes(dataclasses.asdict(self))
        return dict(type=config_type(type(self), "SKELETONS"), **fields)
