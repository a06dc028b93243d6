"""A part of a data set, as mmpretrain's wrapper makes it, without mmengine's copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmpretrain.datasets import KFoldDataset as Parts

from pinas_mm.registry import DATASETS


@DATASETS.register_module()
class KFoldDataset(Parts):  # type: ignore[misc]  # mmpretrain has no types.
    """mmpretrain's KFoldDataset, whose part is taken of its data set in place.

    mmengine's ``get_subset`` copies the data set by a memo that all calls share. A data set that is
    gone leaves its ``id`` there, and what gets that ``id`` next, as another one's pipeline, is
    replaced by the data set in the copy.

    Args:
        dataset, fold, num_splits, test_mode, seed: mmpretrain's.
    """

    def full_init(self) -> None:
        """mmengine's method."""
        if not self._fully_initialized:
            self.dataset: Any = _InPlace(self.dataset)
            super().full_init()


class _InPlace:
    """A data set that is its own subset."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def full_init(self) -> None:
        self._dataset.full_init()

    def __len__(self) -> int:
        return len(self._dataset)

    def get_subset(self, indices: Sequence[int]) -> Any:
        self._dataset.get_subset_(indices)
        return self._dataset
