"""A choice of samples that is the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import torch
from torch.utils.data import Sampler

from pinas_mm.registry import DATA_SAMPLERS
from pinas_mm.run_state import generator


@DATA_SAMPLERS.register_module()
class FixedSampler(Sampler[int]):
    """The same samples on every rank and in every epoch.

    Args:
        dataset: what to choose from.
        seed: of the choice.
        images: how many; None, or more than there are, takes all.
        shuffle: True draws them at random, False takes the first.
    """

    def __init__(
        self,
        dataset: Sized,
        seed: int | None = None,
        images: int | None = None,
        shuffle: bool = False,
    ) -> None:
        total = len(dataset)
        chosen = torch.randperm(total, generator=generator(seed or 0)) if shuffle else range(total)
        self.indices = [int(index) for index in chosen[:images]]

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)
