"""The digits of a data set in memory, as batches of normalized views."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from pinas_mm.data.augment import Augment
from pinas_mm.data.views import ViewsPreprocessor

# Of the images, 0 to 255; the supernets' config has them too.
MEAN, STD = 80.0, 40.0


class Images:
    """Training and test images of a folder in ImageNet's layout.

    Args:
        root: with ``meta/train.txt`` and ``meta/test.txt``.

    Attributes:
        train, test: RGB, uint8 of shape (N, 3, H, W).
        num_classes: of the training images.
    """

    def __init__(self, root: str | Path) -> None:
        self.train, self._train_labels = _read(Path(root), "train")
        self.test, self._test_labels = _read(Path(root), "test")
        self.num_classes = int(self._train_labels.max()) + 1
        self._normalize = ViewsPreprocessor(mean=MEAN, std=STD).normalize

    def train_batches(
        self, size: int, augment: Augment, seed: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Endless batches of normalized views and labels; each image once a round."""
        random = torch.Generator().manual_seed(seed)
        while True:
            for chosen in torch.randperm(len(self.train), generator=random).split(size):
                if len(chosen) == size:
                    views = augment(self.train[chosen].float().div_(255), random)
                    yield self._normalize(views), self._train_labels[chosen]

    def test_batches(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Normalized images and labels, in order."""
        for start in range(0, len(self.test), size):
            part = slice(start, start + size)
            yield self._normalize(self.test[part].float().div_(255)), self._test_labels[part]


def _read(root: Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    lines = [line.split() for line in (root / "meta" / f"{split}.txt").read_text().splitlines()]
    # OpenCV makes three equal channels of gray.
    images = np.stack([cv2.imread(str(root / split / name)) for name, _ in lines])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.tensor(
        [int(label) for _, label in lines]
    )
