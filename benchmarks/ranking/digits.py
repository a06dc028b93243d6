"""Images of the benchmark: one handwritten digit with a fragment of another, gray, in noise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from pinas_mm.data.digits.digits import NUM_CLASSES, Digits, load_digits
from pinas_mm.data.digits.fragments import draw_among_fragments
from pinas_mm.files import whole_folder

# Images to train on, to score supernets' subnets by, and for the true accuracy.
SPLITS = dict(train=12_000, val=2_000, test=3_000)


def write_images(root: Path, splits: Mapping[str, int] = SPLITS, seed: int = 0) -> Path:
    """Writes the splits in ImageNet's layout, whole or not at all; what is there is kept.

    No two splits share a digit, so that no score of a supernet has seen the images of the truth.

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
            rng = np.random.default_rng([seed, number])
            images, _ = draw_among_fragments(rng, sources[split], count)
            for index, image in enumerate(images):
                name = f"digit_{index % NUM_CLASSES}/{index:06d}.png"
                target = part / split / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(cv2.imencode(".png", image)[1].tobytes())
                lines.append(f"{name} {index % NUM_CLASSES}\n")
            (part / "meta" / f"{split}.txt").write_text("".join(lines))
    return root
