"""The batches that a resumed run has not had yet, found without decoding those that it had."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from mmengine.registry import DATA_SAMPLERS as LIBRARIES
from torch.utils.data import BatchSampler, Sampler

from pinas_mm.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class RemainingBatches(Sampler[list[int]]):
    """A loader's batches, in the first pass without those before an iteration.

    Only indices are drawn for these, so that what remains is what an unbroken run gets.

    Args:
        sampler, batch_size: the loader's.
        iteration: iterations that the run has done.
        epoch: epochs that it has done; None where iterations go on through the end of the data,
            which are begun anew then, in the order that mmengine's ``IterBasedTrainLoop`` gives.
        length: batches of an epoch when it was broken off; of another number now, the epoch begins
            at its start. None if not known.
        drop_last: whether an incomplete last batch is left out.
        batch_sampler: config of the loader's own batch sampler; None is PyTorch's.

    Attributes:
        skipped: batches that are left out.
        within: whether the run was broken off within an epoch; of no meaning without epochs.
    """

    def __init__(
        self,
        sampler: Sampler[int],
        batch_size: int,
        iteration: int,
        epoch: int | None = None,
        length: int | None = None,
        drop_last: bool = False,
        batch_sampler: dict[str, Any] | None = None,
    ) -> None:
        self.sampler, self.batch_size = sampler, batch_size
        if batch_sampler is None:
            self.batches = BatchSampler(sampler, batch_size, drop_last)
        else:
            self.batches = LIBRARIES.build(
                batch_sampler, default_args=dict(sampler=sampler, batch_size=batch_size)
            )
        self.skipped, self.within = iteration, False
        if epoch is not None:
            now = len(self.batches)
            begun = iteration - epoch * now
            self.skipped = begun if length in (None, now) and 0 <= begun <= now else 0
            before = length or now
            self.within = 0 < iteration - epoch * before <= before
        self._endless, self._left = epoch is None, self.skipped

    def __iter__(self) -> Iterator[list[int]]:
        # Lazily: loaders with workers ask for two iterators and use the second.
        left, self._left = self._left, 0
        yield from itertools.islice(self._passes() if self._endless else self.batches, left, None)

    def _passes(self) -> Iterator[list[int]]:
        for number in itertools.count(1):
            empty = True
            for batch in self.batches:
                empty = False
                yield batch
            if empty:
                return
            if hasattr(self.sampler, "set_epoch"):
                self.sampler.set_epoch(number)

    def __len__(self) -> int:
        return len(self.batches)
