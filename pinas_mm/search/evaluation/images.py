"""A fixed choice of images, decoded and resized once and kept."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.runner import Runner
from torch.utils.data import Dataset

from pinas_mm.errors import UserError
from pinas_mm.long_work import LongWork
from pinas_mm.registry import DATASETS


def load_batches(
    dataloader: Mapping[str, Any], images: int | None = None, seed: int = 0, exact: bool = False
) -> list[dict]:
    """Loads images as a data loader would, once and for good.

    They are the same for the same seed, whatever the rank and the number of workers, also where the
    pipeline is random; nobody else's random numbers change.

    Args:
        dataloader: mmengine's config. Of its sampler only ``shuffle`` matters: True is a random
            choice, False the first images.
        images: how many; None, or more than there are, takes all.
        seed: of the choice and of a random pipeline.
        exact: whether fewer than ``images`` are an error, before any is read.

    Returns:
        Collated batches as loaded, uint8 on the CPU; the last one may be smaller.

    Raises:
        UserError: fewer than one image is asked for, or the data set is empty or, with ``exact``,
            too small.
    """
    if images is not None and images < 1:
        raise UserError(f"{images} images asked for: give at least 1, or None for all")
    config = copy.deepcopy(dict(dataloader))
    sampler = config.pop("sampler", None) or {}
    for name in ("batch_sampler", "num_batch_per_epoch", "worker_init_fn"):
        config.pop(name, None)
    shuffle = bool(sampler.get("shuffle", False))
    choice = dict(type="pinas_mm.FixedSampler", images=images, shuffle=shuffle)
    with _own_randomness():
        dataset = _Seeded(config.pop("dataset"), seed)
        if not len(dataset):
            raise UserError("the data set has no images: see the config's dataset")
        if exact and images is not None and len(dataset) < images:
            raise UserError(
                f"{images} images asked for, the data set has {len(dataset)}: give at most "
                f"{len(dataset)}"
            )
        config |= dict(dataset=dataset, sampler=choice, drop_last=False, persistent_workers=False)
        batches = Runner.build_dataloader(config, seed=seed)
        # Workers hand tensors over in shared memory, an open file each.
        keep = copy.deepcopy if config.get("num_workers", 0) else lambda batch: batch
        loaded, progress = [], LongWork("loading images, batches", len(batches))
        for batch in batches:
            loaded.append(keep(batch))
            progress(len(loaded) / len(batches))
        return loaded


def num_images(batch: Mapping[str, Any]) -> int:
    """Images of a collated batch, in all of mmengine's forms, with several crops of each too."""
    inputs = batch["inputs"]
    first = inputs[0]
    crops = isinstance(inputs, (list, tuple)) and (
        isinstance(first, (list, tuple)) or first.ndim == 4
    )
    return len(first if crops else inputs)


class _Seeded(Dataset):
    """A data set whose samples depend on seed and index alone, in any process and order."""

    def __init__(self, dataset: dict | Dataset, seed: int) -> None:
        self._dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if hasattr(self._dataset, "full_init"):
            self._dataset.full_init()
        self._seed = seed

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        state = int(np.random.SeedSequence([self._seed, index]).generate_state(1)[0])
        random.seed(state)
        np.random.seed(state)
        torch.default_generator.manual_seed(state)
        return self._dataset[index]


@contextlib.contextmanager
def _own_randomness() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.default_generator.set_state(states[2])
