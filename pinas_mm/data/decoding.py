"""The bytes of an image file as one array, whatever its format, depth, colors and orientation.

Pillow decodes, for all configs: it refuses what is truncated, which OpenCV fills with gray.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

# mmcv's names: Pillow's mode of the result, None for the file's own, and whether it is turned.
COLOR_TYPES: dict[str, tuple[str | None, bool]] = {
    "color": ("RGB", True),
    "grayscale": ("L", True),
    "unchanged": (None, False),
    "color_ignore_orientation": ("RGB", False),
    "grayscale_ignore_orientation": ("L", False),
}
# What brings an image upright, by its EXIF orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The others are their own.
INVERSES = {
    Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
}
BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0

Size = tuple[int, int]


def decode(
    content: bytes,
    color_type: str = "color",
    annotated_size: Callable[[], Size | None] = lambda: None,
) -> NDArray[Any]:
    """Decodes an image.

    Values are 0 to 255: of 16 bits the high byte is taken, of 12 the upper eight. Palettes are
    looked up, CMYK becomes RGB. Of several frames the first is taken.

    Args:
        content: the file's bytes.
        color_type: mmcv's names. ``color`` is BGR, three channels; ``grayscale`` is luma; both
            leave alpha out and turn the image upright as its EXIF orientation says, unless
            ``_ignore_orientation`` is appended. ``unchanged`` has the file's own channels: gray or
            BGR, and alpha where there is some; it is not turned.
        annotated_size: gives width and height of the image's annotation, if it has one of pixels.
            It is asked where EXIF swaps width and height; where one orientation alone has this
            size, it is taken, whatever ``color_type`` says.

    Returns:
        Shape (H, W, channels), or (H, W) of one channel; uint8.

    Raises:
        Exception: whatever Pillow raises for broken files; ValueError where pixels are
            floating-point or 32-bit numbers.
    """
    mode, turn = COLOR_TYPES[color_type]
    with Image.open(io.BytesIO(content)) as opened:
        exif = opened.getexif()
        method = TURNS.get(exif.get(ExifTags.Base.Orientation, 1))
        if method is not None:
            exif.tobytes()  # Raises for a damaged entry, whose orientation nobody should trust.
        upright = opened.format == "TIFF"  # Pillow turns these itself, when they are loaded.
        opened.load()
        own = "L" if Image.getmodebase(opened.mode) == "L" else "RGB"
        own += "A" if opened.has_transparency_data else ""
        image = _eight_bits(opened)
    for wanted in (own, mode or own):
        image = image.convert(wanted) if image.mode != wanted else image
    if method is not None:
        size = annotated_size() if method in (TURNS[5], TURNS[6], TURNS[7], TURNS[8]) else None
        if image.width != image.height and size in (image.size, image.size[::-1]):
            turn = (size == image.size) == upright
        if turn != upright:
            image = image.transpose(INVERSES.get(method, method) if upright else method)
    array = np.array(image)
    if array.ndim == 3 and array.shape[2] >= 3:
        array[..., :3] = array[..., 2::-1]
    return array


def _eight_bits(image: Image.Image) -> Image.Image:
    """An image of 8 bits a channel; of several channels Pillow has them already."""
    deep = image.mode.startswith("I;16")
    if not deep and (image.mode != "I" or image.format not in ("PNG", "PPM")):
        if image.mode in ("I", "F"):
            kind = "floating-point" if image.mode == "F" else "32-bit or signed"
            raise ValueError(
                f"its pixels are {kind} numbers, whose range it does not say: convert it to 8 or "
                "16 bits"
            )
        return image
    tags = getattr(image, "tag_v2", {})
    values = np.asarray(image) >> (tags.get(BITS_PER_SAMPLE, (16,))[0] - 8)
    inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    return Image.fromarray((255 - values if inverted else values).astype(np.uint8))
