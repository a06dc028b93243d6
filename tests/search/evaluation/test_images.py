"""The same images for the same seed, whatever else draws random numbers or loads them."""

import random

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from pinas_mm.errors import UserError
from pinas_mm.search.evaluation.images import load_batches, num_images


@pytest.fixture
def loader(digits):
    """Config of a loader of the 16 training digits, with changes."""
    init_default_scope("mmpretrain")

    def build(transforms=(), **changes):
        pipeline = [dict(type="pinas_mm.LoadImage"), *transforms, dict(type="PackInputs")]
        dataset = dict(
            type="ImageNet", data_root=f"{digits}/imagenet", split="train", pipeline=pipeline
        )
        config = dict(batch_size=6, num_workers=0, dataset=dataset, drop_last=True)
        config["sampler"] = dict(type="DefaultSampler", shuffle=False)
        return config | changes

    return build


SHUFFLED = dict(type="DefaultSampler", shuffle=True)
CROP = dict(type="RandomResizedCrop", scale=24)


def pixels(batches):
    return torch.cat([torch.stack(list(batch["inputs"])) for batch in batches])


def test_all_images_in_order_and_the_last_batch_too(loader):
    batches = load_batches(loader())
    assert [num_images(batch) for batch in batches] == [6, 6, 4]
    assert all(isinstance(batch, dict) for batch in batches)
    images = pixels(batches)
    assert images.dtype == torch.uint8
    assert images.shape == (16, 3, 32, 32)
    assert torch.equal(pixels(load_batches(loader(), images=7, seed=5)), images[:7])
    assert torch.equal(pixels(load_batches(loader(), images=99)), images)
    labels = [int(sample.gt_label) for batch in batches for sample in batch["data_samples"]]
    assert len(labels) == 16
    assert len(set(labels)) == 10


def test_too_few_images_are_said_before_one_is_read(loader, monkeypatch):
    monkeypatch.setattr("pinas_mm.search.evaluation.images._Seeded.__getitem__", None)
    with pytest.raises(UserError, match="100000000 images asked for, the data set has 16"):
        load_batches(loader(), images=10**8, exact=True)


def test_a_shuffled_choice_follows_the_seed(loader):
    def chosen(seed):
        return pixels(load_batches(loader(sampler=SHUFFLED), images=7, seed=seed))

    assert torch.equal(chosen(1), chosen(1))
    assert not torch.equal(chosen(1), chosen(2))
    everything = pixels(load_batches(loader()))
    assert all((everything == image).flatten(1).all(1).any() for image in chosen(1))


@pytest.mark.parametrize("kind", ["DefaultSampler", "InfiniteSampler"])
def test_a_sampler_that_says_nothing_shuffles_as_mmengines_does(loader, kind):
    silent, told = (loader(sampler=dict(type=kind, **more)) for more in ({}, dict(shuffle=True)))
    first = pixels(load_batches(silent, images=7))
    assert torch.equal(first, pixels(load_batches(told, images=7)))
    assert not torch.equal(first, pixels(load_batches(loader(), images=7)))


def test_random_pipelines_depend_on_the_seed_alone(loader):
    def drawn(seed=0, **changes):
        return pixels(load_batches(loader([CROP], sampler=SHUFFLED, **changes), 8, seed))

    first = drawn()
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    assert torch.equal(drawn(), first)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert torch.equal(drawn(num_workers=2, persistent_workers=True), first)
    assert not torch.equal(drawn(seed=1), first)


def test_several_crops_of_each_image(loader):
    views = dict(type="MultiView", num_views=3, transforms=[[CROP]])
    for collate in ("pseudo_collate", "default_collate"):
        batches = list(load_batches(loader([views], collate_fn=dict(type=collate)), images=8))
        assert [num_images(batch) for batch in batches] == [6, 2]
        assert len(batches[0]["inputs"]) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_images_that_are_read_again_are_the_same(loader, workers):
    options = dict(images=8, seed=3)
    build = loader([CROP], sampler=SHUFFLED, num_workers=workers)
    kept, read = (load_batches(build, keep=keep, **options) for keep in (True, False))
    assert kept.sizes == read.sizes == (6, 2)
    assert len(kept.metainfo["classes"]) == len(read.metainfo["classes"]) == 1000
    state = torch.get_rng_state()
    for _ in range(2):
        assert torch.equal(pixels(read), pixels(kept))
    assert torch.equal(torch.get_rng_state(), state)
    first, again = next(iter(read)), next(iter(read))
    assert first["inputs"][0].data_ptr() != again["inputs"][0].data_ptr()
    assert next(iter(kept)) is next(iter(kept))


def test_size_decides_what_is_kept(loader):
    taken = 16 * 3 * 32 * 32
    for memory, kept in ((2 * taken, True), (taken // 2, False)):
        batches = load_batches(loader(), keep=None, memory=memory)
        assert (next(iter(batches)) is next(iter(batches))) == kept
        assert len(pixels(batches)) == 16


def test_a_last_batch_that_is_not_full_may_be_left_out(loader):
    assert load_batches(loader(), full=True).sizes == (6, 6)
    assert load_batches(loader(), images=4, full=True).sizes == (4,)


def test_no_images_are_refused(loader):
    with pytest.raises(UserError, match="at least 1, or None"):
        load_batches(loader(), images=0)
