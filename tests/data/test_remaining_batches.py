"""Batches after an iteration are those of a loader that was never broken off."""

import pytest
from mmengine.dataset import DefaultSampler, InfiniteSampler

from pinas_mm.data.remaining_batches import RemainingBatches


class Sizes:
    """A data set for samplers that look at sizes of images."""

    def __len__(self):
        return 11

    def get_data_info(self, index):
        return dict(width=1 + index % 3, height=2)


@pytest.mark.parametrize("kind", ["AspectRatio", "plain", "drop last"])
def test_what_remains_is_the_end_of_what_there_was(kind):
    own = dict(type="mmdet.AspectRatioBatchSampler") if kind == "AspectRatio" else None

    def batches(**place):
        sampler = DefaultSampler(Sizes(), seed=3)
        options = dict(drop_last=kind == "drop last", batch_sampler=own)
        return RemainingBatches(sampler, 2, **place, **options)

    whole = list(batches(iteration=0, epoch=0))
    length = len(whole)
    for done in range(length + 1):
        remaining = batches(iteration=length + done, epoch=1)
        assert list(remaining) == whole[done:]
        assert list(remaining) == whole  # The next epoch.
    # Of other data the epoch has no place to go on from.
    assert list(batches(iteration=9, epoch=1, length=8)) == whole


@pytest.mark.parametrize("kind", [DefaultSampler, InfiniteSampler])
def test_through_the_end_of_the_data(kind):
    def batches(iteration):
        iterator = iter(RemainingBatches(kind(Sizes(), seed=3), 2, iteration))
        return [next(iterator) for _ in range(20)]

    assert all(batches(done)[: 20 - done] == batches(0)[done:] for done in range(20))
    # Each pass has an order of its own.
    assert batches(0)[:6] != batches(6)[:6]


def test_no_batch_is_no_endless_loop():
    sampler = DefaultSampler(Sizes(), seed=3)
    assert not list(RemainingBatches(sampler, 20, 4, drop_last=True))
