"""A dataset wrapper that decodes every image once."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.dataset import BaseDataset
from torch.utils.data import Dataset

from pinas_mm.registry import DATASETS


@DATASETS.register_module()
class CachedDataset(Dataset[Any]):
    """Keeps what the wrapped dataset's pipeline gives, so that it runs once for each sample.

    For pipelines without randomness; random views are made later, on whole batches. Each worker
    process has a cache of its own: use ``num_workers=0`` for small sets.

    Args:
        dataset: the wrapped dataset or its config.
        lazy_init: load the annotations later, as mmengine's wrappers do.
    """

    def __init__(self, dataset: dict[str, Any] | BaseDataset, lazy_init: bool = False) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self._samples: dict[int, Any] = {}
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Loads the wrapped dataset's annotations."""
        self.dataset.full_init()

    @property
    def metainfo(self) -> dict[str, Any]:
        """Meta information of the wrapped dataset."""
        return copy.deepcopy(self.dataset.metainfo)

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Annotation of a sample."""
        return self.dataset.get_data_info(index)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        if index not in self._samples:
            self._samples[index] = self.dataset[index]
        # Models write predictions into data samples; the cached one must stay as loaded.
        sample = dict(self._samples[index])
        if "data_samples" in sample:
            sample["data_samples"] = sample["data_samples"].clone()
        return sample
