"""Images of the benchmark: one handwritten digit among fragments of others, gray, in noise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from pinas_mm.data.digits.digits import NUM_CLASSES, Digits, load_digits
from pinas_mm.files import whole_folder

SIDE = 12
# Images to train on, to score supernets' subnets by, and for the true accuracy.
SPLITS = dict(train=12_000, val=2_000, test=3_000)

# Smallest and largest digit in pixels, and its largest turn in degrees.
_EXTENT, _ANGLE = (7, 11), 25.0
# Fragments of other digits: how many an image, and their side in pixels.
_FRAGMENTS, _FRAGMENT = 1, 4
# Brightness of the background and of ink, and standard deviation of the noise; of 255.
_GROUND, _INK, _NOISE = 64.0, (90.0, 128.0), 10.0


def write_images(root: Path, splits: Mapping[str, int] = SPLITS, seed: int = 0) -> Path:
    """Writes the splits in ImageNet's layout, whole or not at all; what is there is kept.

    Fragments keep a network from telling digits by a single stroke: it has to see, and to put
    together, more of the image than a stem does. No two splits share a digit, so that no score of a
    supernet has seen the images of the truth.

    Args:
        root: the folder; its name tells what is in it, so that other numbers need another.
        splits: images of each, classes in turn.
        seed: of all that is random.

    Returns:
        The folder.
    """
    if root.is_dir():
        return root
    digits = load_digits(seed)
    held_out = [
        Digits(digits["val"].ink, tuple(pool[half::2] for pool in digits["val"].pools))
        for half in (0, 1)
    ]
    sources = dict(train=digits["train"], val=held_out[0], test=held_out[1])
    with whole_folder(root) as part:
        (part / "meta").mkdir()
        for number, (split, count) in enumerate(splits.items()):
            lines = []
            images = _draw(sources[split], count, np.random.default_rng([seed, number]))
            for index, image in enumerate(images):
                name = f"digit_{index % NUM_CLASSES}/{index:06d}.png"
                target = part / split / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(cv2.imencode(".png", image)[1].tobytes())
                lines.append(f"{name} {index % NUM_CLASSES}\n")
            (part / "meta" / f"{split}.txt").write_text("".join(lines))
    return root


def _draw(digits: Digits, number: int, rng: np.random.Generator) -> np.ndarray:
    """Gray images, uint8 of shape (number, SIDE, SIDE)."""
    size = (SIDE, SIDE)
    ink = np.stack(
        [
            digits.matte(
                rng, digits.draw(rng, i % NUM_CLASSES), size, rng.uniform(*_EXTENT), _ANGLE
            )
            for i in range(number)
        ]
    )
    whole = ink.copy()
    window = np.arange(_FRAGMENT)
    for _ in range(_FRAGMENTS):
        # Of a random other image, from anywhere to anywhere.
        source = rng.integers(number, size=(number, 1, 1))
        rows, columns, to_rows, to_columns = rng.integers(
            SIDE - _FRAGMENT + 1, size=(4, number, 1, 1)
        )
        place = (
            np.arange(number)[:, None, None],
            to_rows + window[:, None],
            to_columns + window[None, :],
        )
        fragment = ink[source, rows + window[:, None], columns + window[None, :]]
        whole[place] = np.maximum(whole[place], fragment)
    strength = rng.uniform(*_INK, size=(number, 1, 1))
    noise = _NOISE * rng.standard_normal(whole.shape)
    return np.clip(np.rint(_GROUND + strength * whole + noise), 0, 255).astype(np.uint8)
