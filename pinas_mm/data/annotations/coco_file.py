"""Reading a COCO file: whole, or of a large one short lists and a sample of the annotations."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# COCO's training file has 450 million characters, whose parsing takes a minute.
LARGE = 30_000_000
PLACES, EACH = 200, 50
# What an annotation has, and not what lies in one or in another list.
KEYS = {"id", "image_id", "category_id"}

_DECODER = json.JSONDecoder()
_OPEN = re.compile(r"\[\s*")
# In a text a quotation mark has a backslash before it.
_BETWEEN = re.compile(r'\}\s*,\s*(?=\{\s*")')
_COMMA = re.compile(r"\s*,\s*")


def read_file(path: Path, whole: bool, large: int = LARGE) -> tuple[Any, bool]:
    """The content of a JSON file.

    Args:
        path: the file, UTF-8 without a byte-order mark, as pycocotools reads it.
        whole: read all of it, however large.
        large: characters from which ``annotations`` are a sample otherwise.

    Returns:
        The content, and whether it is all.

    Raises:
        OSError: the file cannot be read.
        ValueError, RecursionError: it is no JSON.
    """
    text = path.read_text(encoding="utf-8")
    if not whole and len(text) >= large:
        names = "images", "categories", "annotations"
        places = {name: at for name in names if (at := _place(text, name)) is not None}
        if len(places) == len(names) and text.rstrip().endswith("}"):
            start = places.pop("annotations")
            content = {name: _DECODER.raw_decode(text, at)[0] for name, at in places.items()}
            end = min((at for at in places.values() if at > start), default=len(text))
            return {**content, "annotations": list(_sample(text, start, end))}, False
    return json.loads(text), True


def _place(text: str, name: str) -> int | None:
    found = re.search(rf'"{name}"\s*:\s*(?=\[)', text)
    return found.end() if found else None


def _sample(text: str, start: int, end: int) -> Iterator[Any]:
    """Entries in a row at places evenly apart, none twice."""
    opened = _OPEN.match(text, start)
    at = opened.end() if opened else start
    for place in range(PLACES):
        if place:
            found = _next(text, max(at, start + place * (end - start) // PLACES), end)
            if found is None:
                return
            at = found
        for _ in range(EACH):
            entry, at = _DECODER.raw_decode(text, at)
            yield entry
            comma = _COMMA.match(text, at, end)
            if not comma:
                break
            at = comma.end()


def _next(text: str, start: int, end: int) -> int | None:
    """Where the next annotation begins."""
    for found in _BETWEEN.finditer(text, start, end):
        # A text may end there.
        with contextlib.suppress(ValueError):
            if _DECODER.raw_decode(text, found.end())[0].keys() >= KEYS:
                return found.end()
    return None
