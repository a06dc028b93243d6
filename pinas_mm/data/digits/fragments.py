"""One handwritten digit with a fragment of another, gray, in noise.

Fragments keep a network from telling digits by a single stroke: it has to see, and to put together,
more of the image than a stem does. And nothing but strokes tells one image from another, as a
photograph behind the digit would, by which a supernet without labels can do without the digit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinas_mm.data.digits.digits import NUM_CLASSES, Digits
from pinas_mm.data.digits.scenes import MAX_ANGLE, Scene

SIDE = 12
# Images that are drawn together: fragments are of each other's digits.
BLOCK = 500

# Of images of SIDE pixels: smallest and largest digit, and the side of a fragment.
_EXTENT, _FRAGMENT = (7, 11), 4
# Brightness of the background and of ink, and standard deviation of the noise; of 255.
_GROUND, _INK, _NOISE = 64.0, (90.0, 128.0), 10.0


def draw_among_fragments(
    rng: np.random.Generator, digits: Digits, number: int, side: int = SIDE
) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Draws images that lend each other fragments; classes in turn.

    Args:
        rng: source of all that is random.
        digits: the split's digits.
        number: of images.
        side: of an image in pixels.

    Returns:
        Gray images, uint8 of shape (number, side, side), and which digit each has.
    """
    scale = side / SIDE
    used, inks = [], []
    for index in range(number):
        used.append(digits.draw(rng, index % NUM_CLASSES))
        extent = rng.uniform(*_EXTENT) * scale
        inks.append(digits.matte(rng, used[-1], (side, side), extent, MAX_ANGLE))
    ink = np.stack(inks)
    fragment = round(_FRAGMENT * scale)
    window = np.arange(fragment)
    # Of a random image, from anywhere to anywhere.
    source = rng.integers(number, size=(number, 1, 1))
    rows, columns, to_rows, to_columns = rng.integers(side - fragment + 1, size=(4, number, 1, 1))
    place = (
        np.arange(number)[:, None, None],
        to_rows + window[:, None],
        to_columns + window[None, :],
    )
    lent = ink[source, rows + window[:, None], columns + window[None, :]]
    whole = ink.copy()
    whole[place] = np.maximum(whole[place], lent)
    strength = rng.uniform(*_INK, size=(number, 1, 1))
    noise = _NOISE * rng.standard_normal(whole.shape)
    images = np.clip(np.rint(_GROUND + strength * whole + noise), 0, 255).astype(np.uint8)
    return images, tuple(used)


def scenes_among_fragments(
    seeds: Sequence[int], digits: Digits, number: int, side: int = SIDE
) -> Iterator[Scene]:
    """Draws scenes without a photograph; fewer are the first of more.

    Args:
        seeds: of all that is random.
        digits: the split's digits.
        number: of scenes.
        side: of an image in pixels.
    """
    for first in range(0, number, BLOCK):
        images, used = draw_among_fragments(
            np.random.default_rng([*seeds, first]), digits, BLOCK, side
        )
        for index in range(min(BLOCK, number - first)):
            yield Scene(
                image=np.repeat(images[index, :, :, None], 3, axis=2),
                labels=(index % NUM_CLASSES,),
                digits=(used[index],),
            )
