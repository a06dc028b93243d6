"""A fixed choice of images, kept in memory or read again in each pass."""

from __future__ import annotations

import copy
import inspect
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.registry import DATA_SAMPLERS, DefaultScope
from mmengine.runner import Runner
from torch.utils.data import Dataset

from pinas_mm.analysis.unchanged import random_numbers_kept
from pinas_mm.data.views import several_crops
from pinas_mm.errors import UserError
from pinas_mm.long_work import LongWork
from pinas_mm.registry import DATASETS, registered


class Batches:
    """Collated batches of a fixed choice of images, the same in each pass over them.

    Args:
        read: starts a pass.
        sizes: images of each batch.
        metainfo: the data set's, as ``classes``; empty where it has none.

    Attributes:
        kept: the batches, where they are in memory; else None.
    """

    def __init__(
        self,
        read: Callable[[], Iterable[dict[str, Any]]],
        sizes: Sequence[int],
        metainfo: Mapping[str, Any] | None = None,
    ) -> None:
        self._read, self.sizes, self.metainfo = read, tuple(sizes), dict(metainfo or {})
        self.kept: Sequence[dict[str, Any]] | None = None

    @classmethod
    def of(
        cls,
        batches: Batches | Sequence[dict[str, Any]],
        metainfo: Mapping[str, Any] | None = None,
    ) -> Batches:
        """Batches in memory as such."""
        if isinstance(batches, Batches):
            return batches
        made = cls(lambda: batches, [num_images(batch) for batch in batches], metainfo)
        made.kept = batches
        return made

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._read())


def load_batches(
    dataloader: Mapping[str, Any],
    images: int | None = None,
    seed: int = 0,
    exact: bool = False,
    full: bool = False,
    keep: bool | None = True,
    memory: float = math.inf,
) -> Batches:
    """Images as a data loader gives them, decoded and resized once and kept, or once in each pass.

    They are the same for the same seed, whatever the rank and the number of workers, also where the
    pipeline is random; nobody else's random numbers change.

    Args:
        dataloader: mmengine's config. Of its sampler only ``shuffle`` matters: True is a random
            choice, False the first images; where it is not said, the sampler's default.
        images: how many; None, or more than there are, takes all.
        seed: of the choice and of a random pipeline.
        exact: whether fewer than ``images`` are an error, before any is read.
        full: leave out a last batch that is smaller, unless it is the only one.
        keep: whether images stay in memory, as loaded, uint8 on the CPU; None keeps them where
            they take at most ``memory`` bytes.
        memory: bytes.

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
    with random_numbers_kept():
        dataset = _Seeded(config.pop("dataset"), seed)
    if not len(dataset):
        raise UserError("the data set has no images: see the config's dataset")
    if exact and images is not None and len(dataset) < images:
        raise UserError(
            f"{images} images asked for, the data set has {len(dataset)}: give at most "
            f"{len(dataset)}"
        )
    number, size = min(len(dataset), images or len(dataset)), config.get("batch_size", 1)
    if full and number > size:
        number -= number % size
    choice = dict(type="pinas_mm.FixedSampler", images=number, shuffle=shuffles(sampler))
    config |= dict(dataset=dataset, sampler=choice, drop_last=False, persistent_workers=False)

    def read() -> Iterator[dict[str, Any]]:
        with random_numbers_kept():
            batches = iter(Runner.build_dataloader(dict(config), seed=seed))
        while True:
            with random_numbers_kept():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    sizes = [min(size, number - start) for start in range(0, number, size)]
    # Workers hand tensors over in shared memory, an open file each.
    own = copy.deepcopy if config.get("num_workers", 0) else lambda batch: batch
    kept = None if keep is False else _kept(map(own, read()), len(sizes), keep, memory)
    if kept is not None:
        return Batches.of(kept, dataset.metainfo)
    return Batches(read, sizes, dataset.metainfo)


def shuffles(sampler: Mapping[str, Any]) -> bool:
    """Whether a sampler's config shuffles: mmengine's do unless they are told not to."""
    if "shuffle" in sampler or "type" not in sampler:
        return bool(sampler.get("shuffle", False))
    scope = getattr(DefaultScope.get_current_instance(), "scope_name", None)
    cls = registered(sampler["type"], scope, DATA_SAMPLERS)
    known = inspect.signature(cls).parameters if cls is not None else {}
    return "shuffle" in known and known["shuffle"].default is True


def _kept(
    batches: Iterable[dict[str, Any]], number: int, keep: bool | None, memory: float
) -> list[dict[str, Any]] | None:
    """All batches; None where they would take too much memory."""
    loaded: list[dict[str, Any]] = []
    taken, progress = 0, LongWork("loading images, batches", number)
    for batch in batches:
        loaded.append(batch)
        taken += _nbytes(batch)
        if keep is None and taken / len(loaded) * number > memory:
            print_log(
                f"{number} batches of images would take {taken / len(loaded) * number / 2**30:.1f} "
                "GiB: they are read again for each batch of architectures (search.keep_images)",
                "current",
            )
            return None
        progress(len(loaded) / number)
    return loaded


def _nbytes(value: Any) -> int:
    """Bytes of all tensors and arrays in a batch, however deep."""
    if hasattr(value, "nbytes"):
        return value.nbytes
    if isinstance(value, (list, tuple)):
        return sum(map(_nbytes, value))
    inner = value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
    return sum(map(_nbytes, inner.values()))


def num_images(batch: Mapping[str, Any]) -> int:
    """Images of a collated batch, in all of mmengine's forms, with several crops of each too."""
    inputs = batch["inputs"]
    return len(inputs[0] if several_crops(inputs) else inputs)


class _Seeded(Dataset[Any]):
    """A data set whose samples depend on seed and index alone, in any process and order."""

    def __init__(self, dataset: dict[str, Any] | Dataset[Any], seed: int) -> None:
        self._dataset: Any = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if hasattr(self._dataset, "full_init"):
            self._dataset.full_init()
        self._seed = seed

    @property
    def metainfo(self) -> dict[str, Any]:
        return getattr(self._dataset, "metainfo", {})

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        state = int(np.random.SeedSequence([self._seed, index]).generate_state(1)[0])
        random.seed(state)
        np.random.seed(state)
        torch.default_generator.manual_seed(state)
        sample = self._dataset[index]
        if not isinstance(sample, Mapping) or "inputs" not in sample:
            given = ", ".join(sample) if isinstance(sample, Mapping) else type(sample).__name__
            raise UserError(
                f"the data set gives {given}, no inputs: end its pipeline in the library's Pack "
                "transform, as PackDetInputs"
            )
        return sample
