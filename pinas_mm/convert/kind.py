"""What a kind of published checkpoint is to the converter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import ClassVar

import torch
from torch import nn

from pinas_mm.convert.layout import SHORTCUT, Layout
from pinas_mm.space import Arch, SearchSpace


class Kind(ABC):
    """One kind of checkpoint: how to recognize it and what its parts are called.

    A new kind is a subclass in a file of its own, added to
    :data:`pinas_mm.convert.convert.KINDS`.

    Attributes:
        name: for people.
        supernet: whether its backbones are supernets.
        backbones: prefix of each backbone in the source -> its prefix in our model.
        duplicates: prefix of a second copy of a backbone -> prefix of the first, both in the
            source; the copies must agree and one is kept.
    """

    name: ClassVar[str]
    supernet: ClassVar[bool]
    backbones: ClassVar[Mapping[str, str]]
    duplicates: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def recognizes(self, names: Collection[str]) -> bool:
        """Whether a checkpoint with these names is of this kind, whole or not."""

    def complete(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """A recognized checkpoint less what is no weight, plus what it may leave out."""
        return dict(state)

    def to_source(self, name: str) -> str:
        """What this kind calls the weight that the release's bare backbones call ``name``."""
        return name

    def from_source(self, name: str) -> str | None:
        """The reverse of :meth:`to_source`; None for what no backbone has."""
        return name

    @abstractmethod
    def others(self, layout: Layout) -> dict[str, str]:
        """Every name outside the backbones that a whole checkpoint has -> our name.

        Args:
            layout: of its backbones.
        """

    @abstractmethod
    def reference(
        self,
        state: Mapping[str, torch.Tensor],
        space: SearchSpace,
        arch: Arch | None,
        in_channels: int,
    ) -> nn.Module:
        """The model that the converted weights are for.

        Args:
            state: the converted weights; their shapes tell what the space does not.
            space: the search space of the backbone.
            arch: the architecture, None for a supernet.
            in_channels: channels of the input images.
        """


def share_shortcuts(state: dict[str, torch.Tensor], prefix: str, layout: Layout) -> None:
    """Gives each block's candidates one shortcut, the last candidate's, in place.

    It is one module under the keys of all candidates, so that a checkpoint has it once for each,
    and the last one read is the one that counts.
    """
    for stage, block, candidates in layout.blocks():
        if (stage, block) in layout.shortcuts:
            for candidate in candidates[:-1]:
                for part in SHORTCUT:
                    state[prefix + candidate + part] = state[prefix + candidates[-1] + part]
