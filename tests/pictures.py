"""Image files of all sorts, whole and broken, for tests."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
DEEP = np.random.default_rng(1).integers(0, 65536, (6, 9), dtype=np.uint16)


def encoded(image: Image.Image | np.ndarray, kind: str, orientation: int = 1, **options) -> bytes:
    """A file's bytes; arrays of three channels are RGB."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    if orientation != 1 and kind == "TIFF":
        options["tiffinfo"] = {274: orientation}
    elif orientation != 1:
        exif = Image.Exif()
        exif[274] = orientation
        options["exif"] = exif.tobytes()
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    sum_ = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", sum_)


def _bomb() -> bytes:
    """A PNG of a hundred bytes that says it has 10^10 pixels."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + head + body + png_chunk(b"IEND", b"")


def _oversized_text() -> bytes:
    whole = encoded(PIXELS, "PNG")
    text = b"Comment\0\0" + zlib.compress(bytes(PngImagePlugin.MAX_TEXT_CHUNK + 1))
    return whole[:33] + png_chunk(b"zTXt", text) + whole[33:]


def exif_entry(*tags: tuple[int, int, int]) -> bytes:
    """An EXIF entry of tags, each a number, a type (3 is 16 bits, 4 is 32) and a value."""
    packed = [
        struct.pack(">HHIHH", tag, kind, 1, value, 0)
        if kind == 3
        else struct.pack(">HHII", tag, kind, 1, value)
        for tag, kind, value in tags
    ]
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", len(tags)) + b"".join(packed) + bytes(4)


BROKEN = {
    "bomb.png": _bomb(),
    "oversized text.png": _oversized_text(),
    "bad exif.jpg": encoded(PIXELS, "JPEG", exif=exif_entry((274, 3, 6), (258, 4, 100_000))),
    "text.jpg": b"no image",
    "page.jpg": b"<!DOCTYPE html><html></html>",
    "empty.jpg": b"",
    "zeros.png": bytes(1000),
    "truncated.jpg": encoded(PIXELS, "JPEG")[:300],
    "truncated.png": encoded(PIXELS, "PNG")[:-40],
    "truncated.tif": encoded(PIXELS, "TIFF")[:-40],
    "float.tif": encoded(Image.fromarray(PIXELS[..., 0].astype(np.float32)), "TIFF"),
    "whole numbers.tif": encoded(Image.fromarray(PIXELS[..., 0].astype(np.int32)), "TIFF"),
}
NO_FILES = ("missing", "dangling", "loop", "folder", "pipe")


def broken_file(folder: Path, name: str, kind: str) -> Path:
    """Makes a file of one of the kinds BROKEN or NO_FILES."""
    path = folder / name
    if kind in BROKEN:
        path.write_bytes(BROKEN[kind])
    elif kind == "dangling":
        path.symlink_to(folder / "nowhere")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    return path
