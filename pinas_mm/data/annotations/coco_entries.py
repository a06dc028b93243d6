"""The entries of a COCO file: what mmdet and pycocotools need of each, and what they take silently.

Functions give texts of faults without the entry's name, which the caller puts before them.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

BOX = "x, y, width, height in pixels"
MASK = "segmentation"


def category_faults(category: Mapping[str, Any]) -> Iterator[str]:
    """Faults of one of ``categories``."""
    yield from _identity(category)
    if not isinstance(category.get("name"), str):
        yield f"name is {_short(category.get('name'))}: a text is wanted"


def image_faults(image: Mapping[str, Any]) -> Iterator[str]:
    """Faults of one of ``images``."""
    yield from _identity(image)
    if not isinstance(image.get("file_name"), str) or not image["file_name"].strip():
        yield f"file_name is {_short(image.get('file_name'))}: the image's path is wanted"
    for side in ("width", "height"):
        value = image.get(side)
        if not _finite(value) or value < 1 or value != int(value):
            yield f"{side} is {_short(value)}: a whole number of pixels is wanted"


@dataclasses.dataclass(frozen=True)
class Instances:
    """What annotations are held against.

    Attributes:
        images: width and height of the images, by their ids.
        categories: ids of all categories.
        used: of those whose names are among the data set's classes.
        masks: whether the run reads masks.
        polygons: whether it reads polygons alone.
        evaluated: whether a metric reads the file.
    """

    images: Mapping[Any, tuple[int, int]]
    categories: Collection[Any]
    used: Collection[Any]
    masks: bool
    polygons: bool
    evaluated: bool

    def faults(self, annotation: Mapping[str, Any]) -> Iterator[str]:
        """Faults of one of ``annotations``."""
        yield from _identity(annotation)
        image, category = annotation.get("image_id"), annotation.get("category_id")
        if not _is_id(image) or image not in self.images:
            yield f"image_id {_short(image)} is no image of the file: correct or delete it"
        if not _is_id(category) or category not in self.categories:
            yield f"category_id {_short(category)} is no category of the file: correct or delete it"
        area, box = annotation.get("area"), annotation.get("bbox", None)
        if not _finite(area) or area < 0:
            yield f"area is {_short(area)}: a finite number of at least 0 is wanted"
        crowd = annotation.get("iscrowd", None if self.evaluated else 0)
        if crowd not in (0, 1):
            yield f"iscrowd is {_short(crowd)}: 0 or 1 is wanted"
        size = self.images.get(image) if _is_id(image) else None
        found = list(_box_faults(box, size))
        yield from found
        if found or size is None or not _finite(area):
            return
        kept = box[2] >= 1 and box[3] >= 1 and area > 0 and not annotation.get("ignore")
        if self.masks and kept and category in self.used:
            yield from self._mask_faults(annotation.get(MASK), size, bool(crowd))

    def placed(self, annotation: Any) -> tuple[list[float], tuple[int, int]] | None:
        """A box and its image's size, where an annotation has both."""
        if not isinstance(annotation, dict) or not _is_id(annotation.get("image_id")):
            return None
        box: Any = annotation.get("bbox")
        size = self.images.get(annotation["image_id"])
        return None if size is None or any(_box_faults(box, None)) else (box, size)

    def _mask_faults(self, mask: Any, size: tuple[int, int], crowd: bool) -> Iterator[str]:
        if isinstance(mask, dict):
            yield from _code_faults(mask, size)
            if self.polygons and not crowd:
                yield (
                    f"{MASK} is run-length code, which poly2mask=False in the pipeline leaves out: "
                    "set poly2mask=True"
                )
        elif isinstance(mask, list) and mask and all(isinstance(part, list) for part in mask):
            yield from _polygon_faults(mask, size)
        else:
            yield (
                f"{MASK} is {_short(mask)}: a list of polygons, each a list of numbers, or a "
                "run-length code is wanted, or with_mask=False in the pipeline"
            )


def _box_faults(box: Any, size: tuple[int, int] | None) -> Iterator[str]:
    if not isinstance(box, list) or len(box) != 4 or not all(map(_finite, box)):
        yield f"bbox is {_short(box)}: four finite numbers are wanted, {BOX}"
    elif box[2] < 0 or box[3] < 0:
        yield f"bbox {_short(box)} has a negative size: {BOX} are wanted"
    elif size is not None and _share_inside(box, size) < 0.5:
        yield (
            f"bbox {_short(box)} is outside of its image of {size[0]} x {size[1]} pixels: {BOX} "
            "are wanted"
        )


def _share_inside(box: Sequence[float], size: tuple[int, int]) -> float:
    """How much of a box is inside of the image; a pixel beyond the border counts as inside."""
    share = 1.0
    for start, length, limit in zip(box[:2], box[2:], size, strict=True):
        # Real boxes can be lines or points.
        length = max(length, 1e-3)
        share *= max(0.0, min(start + length, limit + 1) - max(start, -1)) / length
    return share


def _polygon_faults(polygons: list[list[Any]], size: tuple[int, int]) -> Iterator[str]:
    for polygon in polygons:
        if not all(map(_finite, polygon)):
            wrong = next(value for value in polygon if not _finite(value))
            yield f"{MASK} has {_short(wrong)} in a polygon: finite numbers x, y, ... are wanted"
            return
        if len(polygon) % 2:
            yield f"{MASK} has a polygon of {len(polygon)} numbers: pairs x, y are wanted"
            return
    # mmdet leaves out polygons of one or two points, which real COCO may have beside others.
    points = [polygon for polygon in polygons if len(polygon) >= 6]
    if not points:
        yield f"{MASK} has no polygon of three points or more: draw it anew or delete it"
        return
    xs, ys = ([x for polygon in points for x in polygon[axis::2]] for axis in (0, 1))
    bounds = min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)
    if _share_inside(bounds, size) < 0.5:
        yield (
            f"{MASK} reaches from ({min(xs)}, {min(ys)}) to ({max(xs)}, {max(ys)}), outside of its "
            f"image of {size[0]} x {size[1]} pixels: is it of an image of another size?"
        )


def _code_faults(mask: Mapping[str, Any], size: tuple[int, int]) -> Iterator[str]:
    wanted = [size[1], size[0]]
    if mask.get("size") != wanted:
        yield f"{MASK} has size {_short(mask.get('size'))}: its image's is wanted, {wanted}"
        return
    total = _pixels(mask.get("counts"))
    if total != size[0] * size[1]:
        yield (
            f"{MASK} has damaged counts (they code {total} pixels of {size[0] * size[1]}): encode "
            "the mask anew"
        )


def _pixels(counts: Any) -> int | None:
    """How many pixels a run-length code covers; None where it is no such code.

    Not pycocotools: it reads beyond the end of a code that is cut off.
    """
    if isinstance(counts, str):
        runs = _runs(counts)
    else:
        runs = counts if isinstance(counts, list) else None
    if runs is None or not all(type(run) is int and 0 <= run <= sys.maxsize for run in runs):
        return None
    return sum(runs)


def _runs(code: str) -> list[int] | None:
    """COCO's compressed counts: numbers of 5 bits a letter, from the fourth on differences."""
    runs: list[int] = []
    run = shift = 0
    for letter in code:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            return None
        run |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            run |= -1 << shift if bits & 16 else 0
            runs.append(run + (runs[-2] if len(runs) > 2 else 0))
            run = shift = 0
    return None if shift else runs


def _identity(entry: Mapping[str, Any]) -> Iterator[str]:
    if not _is_id(entry.get("id")):
        yield f"id is {_short(entry.get('id'))}: a whole number is wanted"


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _finite(value: Any) -> TypeGuard[float]:
    # Whole numbers of JSON may be larger than any float.
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def _short(value: Any) -> str:
    if value is None:
        return "missing or null"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
