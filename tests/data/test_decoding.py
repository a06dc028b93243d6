"""A file gives one image, whatever its depth, colors and orientation; a broken one is refused."""

import cv2
import numpy as np
import pytest
from pictures import DEEP, PIXELS, encoded
from PIL import Image

from pinas_mm.data.decoding import decode

BGR = PIXELS[..., ::-1]
GRAY = PIXELS[..., 0]
ALPHA = np.dstack([PIXELS, GRAY])
HIGH = (DEEP >> 8).astype(np.uint8)


def by_opencv(image: np.ndarray, kind: str) -> bytes:
    """Pillow writes no deep colors."""
    return cv2.imencode(kind, image)[1].tobytes()


def of_gray(values: np.ndarray) -> np.ndarray:
    return np.dstack([values] * 3)


DEEP_COLORS = np.dstack([DEEP, DEEP[::-1], DEEP[:, ::-1]])
PALETTE = Image.fromarray(PIXELS).quantize(16)
COLORS = np.array(PALETTE.convert("RGB"))[..., ::-1]
FILES = {
    "rgb png": (encoded(PIXELS, "PNG"), BGR),
    "rgb bmp": (encoded(PIXELS, "BMP"), BGR),
    "rgb webp": (encoded(PIXELS, "WEBP", lossless=True), BGR),
    "gray png": (encoded(GRAY, "PNG"), of_gray(GRAY)),
    "1-bit png": (
        encoded(Image.fromarray(GRAY > 127), "PNG"),
        of_gray(np.where(GRAY > 127, 255, 0)),
    ),
    "palette png": (encoded(PALETTE, "PNG"), COLORS),
    "palette gif": (encoded(PALETTE, "GIF"), COLORS),
    "transparent palette": (encoded(PALETTE, "PNG", transparency=bytes(16)), COLORS),
    "rgba png": (encoded(ALPHA, "PNG"), BGR),
    "rgba tiff": (encoded(ALPHA, "TIFF"), BGR),
    "gray with alpha": (
        encoded(Image.merge("LA", [Image.fromarray(GRAY)] * 2), "PNG"),
        of_gray(GRAY),
    ),
    "16-bit png": (encoded(DEEP, "PNG"), of_gray(HIGH)),
    "16-bit tiff": (encoded(DEEP, "TIFF"), of_gray(HIGH)),
    "16-bit big-endian tiff": (
        encoded(Image.fromarray(DEEP.astype(">u2")), "TIFF"),
        of_gray(HIGH),
    ),
    "16-bit pgm": (encoded(DEEP, "PPM"), of_gray(HIGH)),
    "16-bit tiff, white is zero": (
        encoded(DEEP, "TIFF", tiffinfo={262: 0}),
        of_gray(255 - HIGH),
    ),
    "16-bit rgb png": (by_opencv(DEEP_COLORS, ".png"), (DEEP_COLORS >> 8)),
    "16-bit rgb tiff": (by_opencv(DEEP_COLORS, ".tiff"), (DEEP_COLORS >> 8)),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_gives_its_colors(kind):
    content, wanted = FILES[kind]
    image = decode(content)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, wanted)
    luma = np.array(Image.fromarray(wanted[..., ::-1].astype(np.uint8)).convert("L"))
    np.testing.assert_array_equal(decode(content, "grayscale"), luma)


# OpenCV ignores which end is white of 16 bits, and darkens the transparent in TIFF.
@pytest.mark.parametrize("kind", sorted(FILES.keys() - {"16-bit tiff, white is zero", "rgba tiff"}))
def test_opencv_gives_the_same(kind):
    content, wanted = FILES[kind]
    theirs = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    # None where this OpenCV cannot read the format; of 16-bit TIFF it rounds otherwise.
    if theirs is not None:
        assert np.abs(theirs.astype(int) - wanted).max() <= (kind == "16-bit rgb tiff")


@pytest.mark.parametrize("kind", ["L", "CMYK"])
def test_opencv_gives_the_same_of_jpeg(kind):
    smooth = Image.fromarray(np.full_like(PIXELS, (200, 60, 90))).convert(kind)
    content = encoded(smooth, "JPEG", quality=100)
    theirs = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decode(content).astype(int) - theirs).max() <= 2


def test_white_of_16_bits_is_white():
    white = np.full((4, 4), 65535, np.uint16)
    assert (decode(encoded(white, "PNG")) == 255).all()
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    assert len(np.unique(decode(encoded(ramp, "PNG")))) == 256


def test_unchanged_keeps_the_files_channels():
    for kind, wanted in {
        "rgba png": np.dstack([BGR, GRAY]),
        "gray with alpha": np.dstack([GRAY] * 2),
        "gray png": GRAY,
        "16-bit tiff": HIGH,
        "palette png": COLORS,
        "transparent palette": np.dstack([COLORS, np.zeros_like(GRAY)]),
    }.items():
        np.testing.assert_array_equal(decode(FILES[kind][0], "unchanged"), wanted)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(kind, orientation):
    options = {"JPEG": dict(quality=100, subsampling=0), "WEBP": dict(lossless=True)}.get(kind, {})
    content = encoded(PIXELS, kind, orientation, **options)
    stored = decode(content, "color_ignore_orientation")
    assert np.abs(stored.astype(int) - BGR).max() <= (8 if kind == "JPEG" else 0)
    # By EXIF's own words: what is the first row and the first column of the upright image.
    upright = BGR if orientation < 5 else BGR.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        upright = upright[::-1]
    if orientation in (2, 3, 6, 7):
        upright = upright[:, ::-1]
    turned = decode(content)
    assert turned.shape == upright.shape
    assert np.abs(turned.astype(int) - upright).max() <= (8 if kind == "JPEG" else 0)
    if orientation > 4:
        # Width and height of the annotation decide, whatever the color type says.
        for color_type in ("color", "color_ignore_orientation"):
            as_stored = decode(content, color_type, lambda: (9, 6))
            np.testing.assert_array_equal(as_stored, stored)
            np.testing.assert_array_equal(decode(content, color_type, lambda: (6, 9)), turned)
    if kind == "JPEG":
        theirs = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(theirs.astype(int) - turned).max() <= 3


def test_an_annotation_of_another_size_decides_nothing():
    content = encoded(PIXELS, "PNG", 6)
    assert decode(content, "color", lambda: (5, 5)).shape == (9, 6, 3)
    assert decode(content, "color_ignore_orientation", lambda: (5, 5)).shape == (6, 9, 3)
