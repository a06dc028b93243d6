"""Handwritten digits: scikit-learn's 1,797 images of 8x8 pixels, split and drawn at any size."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pinas_mm.stack import needs

NUM_CLASSES = 10
VAL_SHARE = 0.2

_CELL = 8  # field pixels a digit pixel
_MARGIN = 2  # empty digit pixels on each side: the cubic curves need room to fall to zero
_OUTLINE = 0.45  # ink share at the outline: more breaks thin strokes, less fills small loops
_SHARPNESS = 1.1  # makes the matte's edge about one and a half output pixels wide


@dataclasses.dataclass(frozen=True)
class Digits:
    """Every digit image, and the ones a split may use.

    Attributes:
        ink: share of each pixel that is written on, float32 of shape (1797, 8, 8), 0 to 1.
        pools: for each class 0 to 9 the indices into ``ink`` that this split may use.
    """

    ink: NDArray[Any]
    pools: tuple[NDArray[Any], ...]

    def draw(self, rng: np.random.Generator, label: int) -> int:
        """Index of a random digit of class ``label`` (0 to 9)."""
        pool = self.pools[label]
        return int(pool[rng.integers(len(pool))])

    def matte(
        self,
        rng: np.random.Generator,
        index: int,
        size: tuple[int, int],
        extent: float,
        max_angle: float,
    ) -> NDArray[Any]:
        """The digit's opacity at a random angle and position, wholly inside the image.

        Args:
            rng: source of angle and position.
            index: which digit.
            size: height and width of the image in pixels.
            extent: longer side in pixels of the turned digit's bounding box.
            max_angle: largest turn to either side in degrees.

        Returns:
            float32 of shape ``size``, 0 to 1; the digit's outline is at 0.5.
        """
        field = _field(self.ink[index])
        ys, xs = np.nonzero(field > _OUTLINE)
        angle = math.radians(rng.uniform(-max_angle, max_angle))
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        turned = turn @ np.stack([xs, ys])
        low, high = turned.min(axis=1), turned.max(axis=1)
        scale = extent / (high - low).max()
        room = np.array([size[1], size[0]]) - (high - low) * scale
        shift = rng.uniform(0, 1, 2) * room - low * scale
        matrix = np.column_stack([turn * scale, shift])
        ink = cv2.warpAffine(field, matrix, (size[1], size[0]), flags=cv2.INTER_LINEAR)
        return np.clip(0.5 + (ink - _OUTLINE) * (_SHARPNESS * scale * _CELL), 0, 1)


def load_digits(seed: int) -> dict[str, Digits]:
    """The digits of ``train`` and ``val``: no image in both, a fifth of every class in ``val``.

    Args:
        seed: decides which digit goes where.
    """
    needs("sklearn", what="reading digits")
    from sklearn import datasets

    bunch = datasets.load_digits()
    ink = (bunch.images / 16).astype(np.float32)
    rng = np.random.default_rng([seed, 0, 0, 0])
    train, val = [], []
    for label in range(NUM_CLASSES):
        order = rng.permutation(np.flatnonzero(bunch.target == label))
        cut = round(len(order) * VAL_SHARE)
        val.append(np.sort(order[:cut]))
        train.append(np.sort(order[cut:]))
    return {"train": Digits(ink, tuple(train)), "val": Digits(ink, tuple(val))}


def _field(ink: NDArray[Any]) -> NDArray[Any]:
    """The ink share as a smooth surface: it can be sampled at any scale and thresholded there."""
    side = (ink.shape[0] + 2 * _MARGIN) * _CELL
    return cv2.resize(np.pad(ink, _MARGIN), (side, side), interpolation=cv2.INTER_CUBIC)
