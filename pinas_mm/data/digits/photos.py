"""Backgrounds: random crops of scikit-learn's two sample photographs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pinas_mm.stack import needs

TRAIN_SHARE = 2 / 3  # of a photograph's rows, from the top; the rows below are for validation
_MIN_CROP = 0.4  # smallest crop's height as a share of the largest's


@dataclasses.dataclass(frozen=True)
class PhotoRegion:
    """The rows of a photograph that one split may use.

    Attributes:
        photo: the photograph's file name.
        top: first row.
        pixels: RGB, uint8 of shape (rows, columns, 3).
    """

    photo: str
    top: int
    pixels: NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Photos:
    """The regions of one split.

    Attributes:
        regions: one for each photograph.
        rows: height in pixels of the largest crop, the same for both splits, so that their
            backgrounds have the same scale.
    """

    regions: tuple[PhotoRegion, ...]
    rows: int

    def crop(
        self, rng: np.random.Generator, size: tuple[int, int], contrast: float
    ) -> tuple[NDArray[Any], str, list[int]]:
        """A random crop of a random photograph, resized.

        Args:
            rng: source of photograph, place and scale.
            size: height and width in pixels to resize to.
            contrast: factor on the difference of every pixel to the crop's mean color.

        Returns:
            RGB, float32 of shape (height, width, 3), 0 to 255; the photograph's file name; the
            crop as [x, y, width, height] in the photograph's pixels.
        """
        region = self.regions[rng.integers(len(self.regions))]
        rows, columns = region.pixels.shape[:2]
        aspect = size[1] / size[0]
        largest = min(self.rows, columns / aspect)
        exact = largest * rng.uniform(_MIN_CROP, 1)
        height, width = max(int(exact), 1), max(int(exact * aspect), 1)
        y = int(rng.integers(rows - height + 1))
        x = int(rng.integers(columns - width + 1))
        pixels: NDArray[Any]
        pixels = region.pixels[y : y + height, x : x + width].astype(np.float32)
        method = cv2.INTER_AREA if height > size[0] else cv2.INTER_CUBIC
        pixels = cv2.resize(pixels, (size[1], size[0]), interpolation=method)
        mean = pixels.mean(axis=(0, 1))
        pixels = np.clip(mean + contrast * (pixels - mean), 0, 255)
        return pixels, region.photo, [x, region.top + y, width, height]


def load_photos() -> dict[str, Photos]:
    """The photographs' regions of ``train`` and ``val``; no pixel is in both."""
    needs("sklearn", what="reading photographs")
    from sklearn import datasets

    bunch = datasets.load_sample_images()
    train, val = [], []
    for path, pixels in zip(bunch.filenames, bunch.images, strict=True):
        name = Path(path).name
        cut = round(len(pixels) * TRAIN_SHARE)
        train.append(PhotoRegion(name, 0, pixels[:cut]))
        val.append(PhotoRegion(name, cut, pixels[cut:]))
    rows = min(len(region.pixels) for region in train + val)
    return {"train": Photos(tuple(train), rows), "val": Photos(tuple(val), rows)}
