"""Image files, opened so that what is wrong with one is said in a line."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from pinas_mm.errors import UserError

_ORIENTATION = 0x0112
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)


@contextlib.contextmanager
def opened(path: str | Path, what: str) -> Iterator[Image.Image]:
    """An image file; pixels are read when they are asked for.

    Args:
        path: the file.
        what: what the message calls it.

    Raises:
        UserError: it is missing, no file or cannot be read; names it and how it begins.
    """
    path = Path(path)
    try:
        if not path.is_file():
            state = "is no file" if path.exists() else "is missing"
            raise UserError(f"{what} {path} {state}: put it there, or leave the image out")
        with Image.open(path) as image:
            yield image
    except UserError:
        raise
    except BROKEN as error:
        reason, begin = str(error), ""
        if isinstance(error, UnidentifiedImageError):
            with path.open("rb") as file:
                reason, begin = "no image", f", it begins with {file.read(15)!r}"
        raise UserError(
            f"{what} {path} cannot be read ({reason}{begin}): get the file anew, or leave it out"
        ) from None


def sizes(image: Image.Image) -> list[tuple[int, int]]:
    """Width and height, as stored, and as shown where the camera was turned."""
    turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    return [image.size, image.size[::-1]] if turned else [image.size]
