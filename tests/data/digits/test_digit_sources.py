from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits as load_sklearn_digits
from sklearn.datasets import load_sample_images

from pinas_mm.data.digits.digits import load_digits
from pinas_mm.data.digits.photos import load_photos
from pinas_mm.data.digits.scenes import MIN_VISIBLE, compose


@pytest.fixture(scope="module")
def sources():
    return load_digits(0), load_photos()


def scene(sources, seed, labels, size=(128, 160), extent=(0.25, 0.45), contrast=0.15):
    digits, photos = sources
    rng = np.random.default_rng(seed)
    return compose(rng, digits["train"], photos["train"], labels, size, extent, contrast)


def test_digits_are_split_by_class_and_all_used(sources):
    train, val = sources[0]["train"], sources[0]["val"]
    for ours, theirs in zip(train.pools, val.pools, strict=True):
        assert not set(ours) & set(theirs)
        assert len(theirs) / (len(ours) + len(theirs)) == pytest.approx(0.2, abs=0.01)
    assert sum(map(len, train.pools + val.pools)) == 1797


def test_another_seed_splits_otherwise(sources):
    other = load_digits(1)
    assert set(other["val"].pools[0]) != set(sources[0]["val"].pools[0])


def test_photographs_are_cut_into_disjoint_regions(sources):
    for ours, theirs in zip(sources[1]["train"].regions, sources[1]["val"].regions, strict=True):
        assert ours.photo == theirs.photo
        assert ours.top + len(ours.pixels) == theirs.top
        assert theirs.top + len(theirs.pixels) == 427


def test_a_digit_is_as_long_as_asked_and_inside(sources):
    rng = np.random.default_rng(0)
    for index in range(0, 1797, 60):
        matte = sources[0]["train"].matte(rng, index, (60, 90), 40, 25)
        ys, xs = np.nonzero(matte > 0.5)
        assert max(np.ptp(ys), np.ptp(xs)) + 1 == pytest.approx(40, abs=2.5)


@pytest.mark.parametrize("contrast", [0, 0.15, 1])
def test_contrast_scales_the_photograph_about_its_mean(sources, contrast):
    photos = sources[1]["train"]
    full, _, box = photos.crop(np.random.default_rng(3), (64, 64), 1)
    scaled, _, same_box = photos.crop(np.random.default_rng(3), (64, 64), contrast)
    assert box == same_box
    np.testing.assert_allclose(
        scaled - full.mean((0, 1)), contrast * (full - full.mean((0, 1))), atol=1e-3
    )


def test_provenance_tells_the_truth(sources):
    bunch = load_sample_images()
    photos = {
        Path(name).name: image for name, image in zip(bunch.filenames, bunch.images, strict=True)
    }
    for seed in range(10):
        one = scene(sources, seed, [3], contrast=1)
        x, y, width, height = one.box
        crop = photos[one.photo][y : y + height, x : x + width]
        assert crop.shape == (height, width, 3)
        method = cv2.INTER_AREA if height > 128 else cv2.INTER_CUBIC
        expected = cv2.resize(crop, (160, 128), interpolation=method).astype(int)
        untouched = one.shares[0] == 0
        assert np.abs(one.image.astype(int) - expected)[untouched].max() <= 1
        assert load_sklearn_digits().target[one.digits[0]] == 3


def test_digits_stand_out_in_luma(sources):
    weights = np.array([0.299, 0.587, 0.114])
    for seed in range(40):
        one = scene(sources, seed, [seed % 10], (32, 32), (0.45, 0.85))
        luma = one.image @ weights
        inside, outside = one.shares[0] > 0.95, one.shares[0] < 0.05
        assert abs(luma[inside].mean() - luma[outside].mean()) > 50


def test_digits_hide_one_another_but_stay_visible(sources):
    overlaps = 0
    for seed in range(20):
        many = scene(sources, seed, [1, 2, 3, 4, 5, 6])
        assert (many.masks.sum(0) <= 1).all()
        assert (many.masks.sum((1, 2)) > 0).all()
        assert len(many.labels) == len(many.digits) == len(many.shares) >= 2
        alone = scene(sources, seed, [1])
        shown = many.masks[0].sum() / alone.masks[0].sum()
        assert MIN_VISIBLE <= shown <= 1
        overlaps += shown < 1
    assert overlaps


def test_label_map_leaves_a_thin_doubtful_outline(sources):
    for seed in range(10):
        many = scene(sources, seed, [7, 8])
        labels = many.semantic(background=10, doubtful=255)
        assert set(np.unique(labels)) == {7, 8, 10, 255}
        assert (labels == 255).sum() < many.masks.sum()
        for label, mask in zip(many.labels, many.masks, strict=True):
            assert mask[labels == label].all()
