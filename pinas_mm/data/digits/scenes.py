"""One scene: digits in random colors on a crop of a photograph, and whose pixel is whose."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinas_mm.data.digits.digits import Digits
from pinas_mm.data.digits.photos import Photos

MAX_ANGLE = 25.0  # degrees; a 6 stays a 6
MIN_VISIBLE = 0.85  # share of its pixels that every digit shows
CERTAIN = 0.85  # share of a pixel's color from which its label is beyond doubt

_TRIES = 20
_COLORS = 64
# Differences of luma and of RGB (Euclidean), of 255: the eye, and a JPEG file, tell shapes by luma.
_LUMA = np.array([0.299, 0.587, 0.114])
_MIN_LUMA_STEP = 70.0
_MIN_COLOR_STEP = 90.0


@dataclasses.dataclass(frozen=True)
class Scene:
    """An image of n digits with what is known of it.

    Attributes:
        image: RGB, uint8 of shape (height, width, 3).
        labels: class of each digit, 0 to 9, from back to front.
        digits: index of each digit in scikit-learn's set.
        shares: share of each pixel's color that each digit gives, float32 of shape
            (n, height, width); what is missing to 1 is the photograph's. Empty where there is no
            photograph: such scenes are only classified.
        photo: file name of the photograph; empty where there is none.
        box: crop of the photograph as [x, y, width, height] in its pixels.
    """

    image: NDArray[Any]
    labels: tuple[int, ...]
    digits: tuple[int, ...]
    shares: NDArray[Any] = dataclasses.field(default_factory=lambda: np.empty((0, 0, 0)))
    photo: str = ""
    box: list[int] = dataclasses.field(default_factory=list)

    @property
    def masks(self) -> NDArray[Any]:
        """Visible pixels of each digit, bool of shape (n, height, width); they never overlap."""
        return self.shares > 0.5

    def semantic(self, background: int, doubtful: int) -> NDArray[Any]:
        """Label map, uint8 of shape (height, width).

        Digits have their class 0 to 9, the photograph ``background``, and the outline's pixels,
        where both mix, ``doubtful``.
        """
        labels = np.full(self.image.shape[:2], doubtful, np.uint8)
        labels[1 - self.shares.sum(axis=0) > CERTAIN] = background
        for label, share in zip(self.labels, self.shares, strict=True):
            labels[share > CERTAIN] = label
        return labels


def compose(
    rng: np.random.Generator,
    digits: Digits,
    photos: Photos,
    labels: Sequence[int],
    size: tuple[int, int],
    extent: tuple[float, float],
    contrast: float,
) -> Scene:
    """Draws a scene.

    Args:
        rng: source of all that is random.
        digits: the split's digits.
        photos: the split's photographs.
        labels: classes of the digits, from back to front; one that finds no place without hiding
            another is left out (never the first).
        size: height and width in pixels.
        extent: smallest and largest longer side of a digit, as a share of the shorter side of
            the image; at most 1.
        contrast: factor on the photograph's contrast, 0 to 1.
    """
    image, photo, box = photos.crop(rng, size, contrast)
    background = image.copy()
    shares = np.empty((0, *size), np.float32)
    own_pixels = np.empty(0)
    used: list[tuple[int, int]] = []
    colors: list[NDArray[Any]] = []
    for label in labels:
        index = digits.draw(rng, label)
        for _ in range(_TRIES):
            length = rng.uniform(*extent) * min(size)
            matte = digits.matte(rng, index, size, length, MAX_ANGLE)
            remaining = shares * (1 - matte)
            if ((remaining > 0.5).sum(axis=(1, 2)) >= MIN_VISIBLE * own_pixels).all():
                break
        else:
            continue
        behind = (background * matte[..., None]).sum(axis=(0, 1)) / matte.sum()
        color = _color(rng, behind, colors)
        image += (color.astype(np.float32) - image) * matte[..., None]
        shares = np.concatenate([remaining, matte[None]])
        own_pixels = np.append(own_pixels, (matte > 0.5).sum())
        colors.append(color)
        used.append((label, index))
    return Scene(
        image=np.rint(image).astype(np.uint8),
        labels=tuple(int(label) for label, _ in used),
        digits=tuple(index for _, index in used),
        shares=shares,
        photo=photo,
        box=box,
    )


def _color(
    rng: np.random.Generator, behind: NDArray[Any], others: Sequence[NDArray[Any]]
) -> NDArray[Any]:
    """A random RGB color, far in luma from what is behind it and unlike the other digits'."""
    candidates = rng.uniform(0, 255, (_COLORS, 3))
    margin = np.abs((candidates - behind) @ _LUMA) / _MIN_LUMA_STEP
    for other in others:
        step = np.linalg.norm(candidates - other, axis=1)
        margin = np.minimum(margin, step / _MIN_COLOR_STEP)
    good = np.flatnonzero(margin >= 1)
    return candidates[good[0] if len(good) else margin.argmax()]
