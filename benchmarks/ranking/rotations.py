"""Images turned by quarters, labelled by how far: a task without labels, for what needs some."""

from __future__ import annotations

from typing import Any

import torch

from pinas_mm.data.cache import CachedDataset
from pinas_mm.registry import DATASETS

TURNS = 4


@DATASETS.register_module()
class RotatedDataset(CachedDataset):
    """The wrapped data set's images, each in one of four turns, which is its label (Gidaris et al.,
    ICLR 2018; to rank architectures Liu et al., ECCV 2020).

    Args:
        dataset: the wrapped data set's config.
        run: images in a row that are turned alike: as many as there are classes, where these lie in
            turn, so that every class is there in every turn.
    """

    def __init__(self, dataset: dict[str, Any], run: int = 10) -> None:
        super().__init__(dataset)
        self._run = run

    def __getitem__(self, index: int) -> Any:
        sample = super().__getitem__(index)
        turn = index // self._run % TURNS
        sample["inputs"] = torch.rot90(sample["inputs"], turn, dims=(1, 2)).contiguous()
        sample["data_samples"].set_gt_label(turn)
        return sample
