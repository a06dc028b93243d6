"""Views equal torchvision's operations, image by image, and have the promised distributions."""

import colorsys
import math

import pytest
import torch
from conftest import NAMES
from mmengine.logging import MMLogger
from torchvision.transforms import functional as tvf

from pinas_mm.data.augment import Augment, _say_no_colors
from pinas_mm.errors import UserError

OFF = dict(flip=0, brightness=0, contrast=0, saturation=0, hue=0, jitter=1, gray=0, blur=0)
# torchvision rounds ITU-R BT.601's red weight to 0.2989 (and blue to 0.114).
LUMA_ROUNDING = 2e-4


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def photos(number=8, low=0.3, high=0.6, size=9):
    """Images whose colors stay clear of 0 and 1 under changes of up to 40 percent."""
    return low + (high - low) * torch.rand(number, 3, size, size + 2, generator=rng(1))


def test_with_everything_off_nothing_changes():
    images = photos()
    torch.testing.assert_close(Augment(**OFF)(images, rng()), images)


@pytest.mark.parametrize(
    ("name", "adjust"),
    [
        ("brightness", tvf.adjust_brightness),
        ("contrast", tvf.adjust_contrast),
        ("saturation", tvf.adjust_saturation),
    ],
)
def test_each_factor_is_torchvisions(name, adjust):
    images = photos()
    out = Augment(**{**OFF, name: 0.4})(images, rng())
    factors = []
    for image, changed in zip(images, out, strict=True):
        # adjust(image, f) = base + f (image - base), so two of its values give the factor.
        base, slope = adjust(image, 0.0), adjust(image, 1.0) - adjust(image, 0.0)
        factor = float(((changed - base) * slope).sum() / slope.square().sum())
        torch.testing.assert_close(changed, adjust(image, factor), atol=LUMA_ROUNDING, rtol=0)
        factors.append(factor)
    assert all(0.6 - 1e-3 <= factor <= 1.4 + 1e-3 for factor in factors)
    assert max(factors) - min(factors) > 0.3


def test_colors_that_leave_the_range_are_cut():
    out = Augment(**{**OFF, "brightness": 1.0})(torch.full((64, 3, 2, 2), 0.9), rng())
    assert (out <= 1).all()
    assert (out == 1).any()


def test_a_turned_crop_is_torchvisions():
    """The whole image as its own crop, of sides that differ."""
    side = torch.linspace(0, 1, 33)
    image = torch.sin(5 * side[:, None] + 3 * side[:25])[None, None].repeat(4, 3, 1, 1) / 4 + 0.5
    crop = dict(size=33, scale=(1, 1), ratio=(25 / 33, 25 / 33), rotate=30)
    out = Augment(**{**OFF, **crop})(image, rng())
    # Flip, area, ratio, then two of the place and the angle.
    angles = (60 * torch.rand(6, 4, generator=rng())[5] - 30).tolist()
    assert max(angles) - min(angles) > 10
    for turned, angle in zip(out, angles, strict=True):
        expected = tvf.rotate(image[:1], angle, tvf.InterpolationMode.BILINEAR)
        expected = tvf.resize(expected, [33, 33], antialias=False)[0]
        inner = slice(12, 21)
        error = (turned - expected)[:, inner, inner].abs().max()
        assert error < 0.02, angle


def test_noise_has_the_strength_that_was_drawn():
    images = torch.full((64, 3, 16, 16), 0.5)
    out = Augment(**{**OFF, "noise": 0.1})(images, rng())
    deviations = (out - images).flatten(1).std(dim=1)
    assert 0 <= deviations.min() < 0.01
    assert 0.09 < deviations.max() < 0.11
    assert deviations.mean() == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("wrong", [dict(rotate=10), dict(size=8, rotate=181), dict(noise=2)])
def test_turns_and_noise_that_cannot_be_are_refused(wrong):
    with pytest.raises(UserError, match=r"rotate is|noise is"):
        Augment(**wrong)


def test_gray_is_torchvisions():
    images = photos()
    expected = tvf.rgb_to_grayscale(images, num_output_channels=3)
    out = Augment(**{**OFF, "gray": 1})(images, rng())
    torch.testing.assert_close(out, expected, atol=LUMA_ROUNDING, rtol=0)


def test_changes_compose_in_torchvisions_order():
    images = photos()
    augment = Augment(**{**OFF, "brightness": 0.2, "contrast": 0.3, "saturation": 0.4})
    # The documented order of the random numbers: flip, jitter, gray, then the three factors.
    draws = torch.rand(6, len(images), generator=rng())[3:]
    out = augment(images, rng())
    for image, changed, (b, c, s) in zip(images, out, draws.T.tolist(), strict=True):
        expected = tvf.adjust_brightness(image, 0.8 + 0.4 * b)
        expected = tvf.adjust_contrast(expected, 0.7 + 0.6 * c)
        expected = tvf.adjust_saturation(expected, 0.6 + 0.8 * s)
        torch.testing.assert_close(changed, expected, atol=4 * LUMA_ROUNDING, rtol=0)


def test_hue_turns_colors_but_keeps_luma_and_gray():
    images = photos()
    out = Augment(**{**OFF, "hue": 0.5})(images, rng())
    luma = torch.tensor([0.299, 0.587, 0.114])
    before, after = (torch.einsum("c,nchw->nhw", luma, x) for x in (images, out))
    # The published YIQ coefficients have four digits.
    torch.testing.assert_close(after, before, atol=1e-3, rtol=0)
    assert (out - images).abs().amax((1, 2, 3)).min() > 0.01
    gray = images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    out = Augment(**{**OFF, "hue": 0.5})(gray, rng())
    torch.testing.assert_close(out, gray, atol=1e-3, rtol=0)


def test_hue_shifts_cover_the_promised_share_of_the_circle_both_ways():
    color = torch.tensor([0.55, 0.42, 0.38]).view(1, 3, 1, 1).expand(400, -1, 2, 2)
    out = Augment(**{**OFF, "hue": 0.1})(color, rng())[:, :, 0, 0]
    hue = [colorsys.rgb_to_hsv(*pixel.tolist())[0] for pixel in out]
    start = colorsys.rgb_to_hsv(0.55, 0.42, 0.38)[0]
    shifts = [(h - start + 0.5) % 1 - 0.5 for h in hue]
    # A turn in the IQ plane is not exactly one in HSV, whose circle is a hexagon.
    assert 0.06 < max(shifts) < 0.15
    assert -0.15 < min(shifts) < -0.06


def test_blur_is_torchvisions():
    images = photos(size=21)
    out = Augment(**{**OFF, "blur": 1}, blur_sigma=(1.5, 1.5))(images, rng())
    # A radius of 3 sigma, rounded up.
    expected = tvf.gaussian_blur(images, kernel_size=11, sigma=1.5)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)


def test_blur_shrinks_its_kernel_to_fit_small_images():
    image = photos(1, size=3)
    out = Augment(**{**OFF, "blur": 1}, blur_sigma=(2, 2))(image, rng())
    assert out.shape == image.shape
    assert out.std() < image.std()


def test_probabilities_are_kept():
    images = photos(3000, size=5)
    flips = Augment(**{**OFF, "flip": 0.3})(images, rng())
    mirrored = (flips - images.flip(3)).abs().amax((1, 2, 3)) < 1e-6
    kept = (flips - images).abs().amax((1, 2, 3)) < 1e-6
    assert (mirrored ^ kept).all()
    assert abs(float(mirrored.float().mean()) - 0.3) < 0.03
    for name, change in (("jitter", dict(brightness=0.4)), ("gray", {}), ("blur", {})):
        out = Augment(**{**OFF, **change, name: 0.3})(images, rng())
        share = ((out - images).abs().amax((1, 2, 3)) > 1e-5).float().mean()
        assert abs(float(share) - 0.3) < 0.03, name


def test_crops_have_the_promised_areas_ratios_and_places():
    height, width = 60, 80
    across = ((torch.arange(width) + 0.5) / width).expand(height, width)
    down = ((torch.arange(height) + 0.5) / height).unsqueeze(1).expand(height, width)
    images = torch.stack([across, down, torch.zeros(height, width)]).expand(500, -1, -1, -1)
    augment = Augment(**{**OFF, "flip": 0.5}, size=16, scale=(0.1, 0.4))
    out = augment(images, rng())
    assert out.shape == (500, 3, 16, 16)
    # The colors are coordinates: their slopes are the crop's extent, their means its middle.
    x, y = out[:, 0, 8], out[:, 1, :, 8]
    extent_x, extent_y = ((c[:, 12] - c[:, 4]) * 16 / 8 for c in (x, y))
    area, ratio = (extent_x * extent_y).abs(), extent_x.abs() * width / (extent_y * height)
    assert (extent_y > 0).all()
    assert 0.4 < float((extent_x < 0).float().mean()) < 0.6
    assert area.min() > 0.1 - 0.01
    assert area.min() < 0.13
    assert 0.37 < area.max() < 0.4 + 0.01
    assert 3 / 4 - 0.02 < ratio.min() < 0.8
    assert 1.25 < ratio.max() < 4 / 3 + 0.02
    for coordinate, extent in ((x, extent_x.abs()), (y, extent_y)):
        middle = (coordinate[:, 7] + coordinate[:, 8]) / 2
        assert (middle - extent / 2 > -0.01).all()
        assert (middle + extent / 2 < 1.01).all()
        assert middle.std() > 0.1


def test_a_crop_of_everything_is_the_image():
    images = photos(size=16)[:, :, :, :16]
    augment = Augment(**OFF, size=16, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    torch.testing.assert_close(augment(images, rng()), images)


def test_a_seed_gives_the_same_views_and_another_seed_others():
    images = photos(size=16)
    augment = Augment(size=12)
    one, same, other = (augment(images, rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)
    assert len({float(view.mean()) for view in augment(images[:1].repeat(8, 1, 1, 1), rng())}) == 8


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (dict(flip=1.5), "flip is 1.5"),
        (dict(brightness=-0.1), "brightness"),
        (dict(hue=0.6), "between 0 and 0.5"),
        (dict(scale=(0.0, 1.0)), "scale"),
        (dict(ratio=(2.0, 1.0)), "ratio"),
        (dict(blur_sigma=(0.0, 2.0)), "blur_sigma"),
        (dict(jitter=math.nan), "jitter"),
    ],
)
def test_wrong_options_are_refused(wrong, said):
    with pytest.raises(UserError, match=said):
        Augment(**wrong)


@pytest.mark.parametrize("channels", [1, 4, 7])
def test_only_three_channels_have_colors(channels, capfd):
    MMLogger.get_instance(next(NAMES))  # One that writes to what is captured here.
    _say_no_colors.cache_clear()
    images = torch.rand(5, channels, 9, 11, generator=rng())
    for _ in range(2):
        assert torch.equal(Augment(flip=0, blur=0, jitter=1, gray=1)(images, rng()), images)
    said = "".join(capfd.readouterr())
    assert said.count(f"images of {channels} channels have no colors to change") == 1
    views = Augment(size=6, blur=1)(images, rng())
    assert views.shape == (5, channels, 6, 6)
    assert 0 <= views.min() < views.max() <= 1
    Augment(jitter=0, gray=0)(images[:, :1], rng())
    assert not "".join(capfd.readouterr())
