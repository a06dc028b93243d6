"""COCO's JSON files, as mmdet reads them: images, annotations and categories of one split."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pinas_mm.data.annotations.base import Annotations, Use, listed, spread
from pinas_mm.data.annotations.coco_entries import Instances, category_faults, image_faults
from pinas_mm.data.annotations.coco_file import read_file
from pinas_mm.data.annotations.images import opened, sizes
from pinas_mm.errors import UserError

# What a second allows: entries of a list in the JSON, and images whose headers are read.
ENTRIES, FILES = 50_000, 300


class CocoAnnotations(Annotations):
    """The file of a ``CocoDataset``.

    What real COCO has passes: crowds, boxes without width or height, boxes a little over the
    border, which mmdet clips or leaves out.
    """

    known = "mmdet.datasets.coco.CocoDataset"
    methods = ("load_data_list", "parse_data_info")
    noun = "images"

    def __init__(self, use: Use) -> None:
        super().__init__(use)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def overall(self, whole: bool) -> Iterator[str]:
        """Faults of the JSON, of class names and heads, and of the entries."""
        self._dataset = self.use.build()
        self._path = Path(self._dataset.ann_file)
        try:
            content, self._all = read_file(self._path, whole)
        except OSError as error:
            yield f"{self._path} cannot be read ({error.strerror}): see ann_file of {self.use.key}"
            return
        except (ValueError, RecursionError) as error:
            yield f"{self._path} is no whole JSON file ({error}): get or write it anew"
            return
        content = content if isinstance(content, dict) else {}
        # Files of test images have none.
        formatted = [node.get("format_only") for node in self.use.evaluators]
        optional = ("annotations",) if formatted and all(formatted) else ()
        for name in ("images", "categories", "annotations"):
            if name in optional and name not in content:
                content[name] = []
            elif not isinstance(content.get(name), list) or not content[name]:
                yield f"{self._path} has no list of {name}: is it a file of COCO's instances?"
                return
        categories = content["categories"]
        wrong = list(self._table(categories, "category", category_faults, whole=True))
        yield from wrong
        if wrong:
            return
        yield from self._names([category["name"] for category in categories])
        yield from self._table(content["images"], "image", image_faults, whole)
        images = [i for i in content["images"] if isinstance(i, dict)]
        self._images = [image for image in images if not any(image_faults(image))]
        self._annotations = content["annotations"]
        instances = self._instances(categories)
        yield from self._coding(instances)
        yield from self._table(self._annotations, "annotation", instances.faults, whole)

    def _table(
        self,
        entries: list[Any],
        noun: str,
        faults: Callable[[dict[str, Any]], Iterator[str]],
        whole: bool,
    ) -> Iterator[str]:
        """Faults of a list's entries; ids given twice are ones."""
        for number in range(len(entries)) if whole else spread(len(entries), ENTRIES):
            entry = entries[number]
            if not isinstance(entry, dict):
                yield f"{self._path}, {noun} number {number + 1} is {entry!r:.60}: no entry"
                continue
            for fault in faults(entry):
                place = f"number {number + 1}" if self._all else "without an id"
                name = entry.get("id", place)
                yield f"{self._path}, {noun} {name}: {fault}"
        ids = [entry["id"] for entry in entries if isinstance(entry, dict) and "id" in entry]
        twice = [i for i, n in Counter(map(str, ids)).items() if n > 1]
        if twice:
            yield f"{self._path} has several of {noun} {listed(twice)}: give each an id of its own"

    def _names(self, names: list[str]) -> Iterator[str]:
        """Faults between the file's categories, the data set's classes and the heads."""
        classes = self._dataset.metainfo.get("classes")
        where = f"{self.use.key}: classes of {self.use.cls.__name__}'s metainfo"
        advice = f"give metainfo=dict(classes=(...)) of {self._path}'s categories in their order"
        if isinstance(classes, str) or not classes:
            yield f"{where} are {classes!r}: {advice}, {listed(names)}"
            return
        missing = [name for name in classes if name not in names]
        if len(missing) == len(classes):
            yield f"{where}, {listed(classes)}, match no category: {advice}, {listed(names)}"
        elif missing:
            near = [difflib.get_close_matches(str(name), names, 1) for name in missing]
            pairs = zip(missing, near, strict=True)
            which = [f"{n!r} (nearest: {m[0]!r})" if m else repr(n) for n, m in pairs]
            yield f"{where} match only in part: {self._path} has no {listed(which)}: {advice}"
        else:
            found = [name for name in names if name in classes]
            if found != list(classes):
                yield f"{where} are not in the file's order, by which mmdet numbers them: {advice}"
        # Heads that compare with texts have places to spare.
        spare = "language_model" in self.use.model
        for head, number in self.use.heads.items():
            if number < len(classes) or (number > len(classes) and not spare):
                yield (
                    f"{self.use.key} has {len(classes)} classes, {head} has num_classes={number}: "
                    f"set {head}.num_classes={len(classes)}, or the classes in metainfo"
                )

    def _instances(self, categories: list[dict[str, Any]]) -> Instances:
        """What annotations are held against."""
        classes = self._dataset.metainfo.get("classes") or ()
        loaders = self.use.transforms("LoadAnnotations")
        return Instances(
            images={i["id"]: (int(i["width"]), int(i["height"])) for i in self._images},
            categories={category["id"] for category in categories},
            used={category["id"] for category in categories if category["name"] in classes},
            masks=any(node.get("with_mask") for node in loaders),
            polygons=any(not node.get("poly2mask", True) for node in loaders),
            evaluated=bool(self.use.dataset.get("test_mode")),
        )

    def _coding(self, instances: Instances) -> Iterator[str]:
        """Boxes that are all of another coding."""
        some = spread(len(self._annotations), ENTRIES // 10)
        found = (instances.placed(self._annotations[index]) for index in some)
        pairs = [pair for pair in found if pair]
        if not pairs:
            return
        boxes, limits = (np.array(column, float) for column in zip(*pairs, strict=True))
        corner, other = boxes[:, :2], boxes[:, 2:]
        beyond = (corner + other > limits + 1).any(1)
        if (other > corner).all() and (other <= limits + 1).all() and beyond.mean() > 0.1:
            yield (
                f"{self._path}: {beyond.sum()} of {len(boxes)} boxes reach over the border, and "
                "none would as x1, y1, x2, y2: x, y, width, height are wanted"
            )
        elif (boxes <= 1).all():
            yield f"{self._path}: all numbers of all boxes are 1 or less: pixels are wanted"

    def __len__(self) -> int:
        return len(self._images)

    @property
    def sample(self) -> int:
        """Three hundred: their headers are read."""
        return FILES

    def faults(self, index: int) -> Iterator[str]:
        """Whether an image is there and of the size that the file says."""
        image = self._images[index]
        path = Path(self._dataset.data_prefix["img"], image["file_name"])
        try:
            with opened(path, f"image {image['id']} of {self._path},") as found:
                if (image["width"], image["height"]) not in sizes(found):
                    yield (
                        f"{self._path}, image {image['id']}: {path} has {found.width} x "
                        f"{found.height} pixels, not {image['width']} x {image['height']}: "
                        "correct width and height, or put the image there that was annotated"
                    )
        except UserError as error:
            if not (self.use.skips_broken and os.path.isfile(path)):
                yield str(error)

    def counts(self) -> dict[str, int]:
        """Images and annotations."""
        return {self.noun: len(self._images), "annotations": len(self._annotations)}
