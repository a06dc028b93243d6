"""Label maps of mmseg's data sets: one channel of class ids for each image, of its size."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinas_mm.data.annotations.base import Annotations, Use, listed
from pinas_mm.data.annotations.images import opened, sizes
from pinas_mm.errors import UserError, joined
from pinas_mm.registry import dicts

# Pixels that are decoded in half a second, and most files that are opened.
PIXELS, FILES = 50_000_000, 1000
# Pillow's names of one channel of at most 8 bits, as numbers or as places in a palette.
ONE_CHANNEL = ("L", "P", "1")
CITYSCAPES_IDS = 33


class LabelMaps(Annotations):
    """Label maps of a ``BaseSegDataset``, read as mmseg's ``LoadAnnotations`` reads them."""

    known = "mmseg.datasets.basesegdataset.BaseSegDataset"
    noun = "label maps"

    def __init__(self, use: Use) -> None:
        super().__init__(use)
        self._entries: list[dict[str, Any]] = []
        self._seen: set[int] = set()
        self._values: set[int] = set()

    def overall(self, whole: bool) -> Iterator[str]:
        """Faults of class names, heads and the list of images."""
        where = f"{self.use.key}: {self.use.cls.__name__}"
        unknown = self._unknown_classes()
        if unknown:
            yield f"{where} has no class {unknown}: metainfo's classes must be among its own"
            return
        try:
            self._dataset = self.use.build()
            entries = self._dataset.load_data_list()
        except (OSError, ValueError, AssertionError) as error:
            yield f"{where} cannot be read: {joined(error)}"
            return
        classes = self._dataset.metainfo.get("classes") or ()
        if isinstance(classes, str):
            yield f"{where}: classes {classes!r} is one text: give a list, [{classes!r}]"
            return
        for head, number in self.use.heads.items():
            if number < len(classes):
                yield (
                    f"{where} has {len(classes)} classes, {head} has num_classes={number}: set "
                    f"{head}.num_classes={len(classes)}, or fewer classes in its metainfo"
                )
        folder = self._dataset.data_prefix.get("img_path")
        if not entries:
            yield f"{where} finds no image *{self._dataset.img_suffix} in {folder}: see img_suffix"
        self._number = min([*self.use.heads.values(), len(classes) or 256])
        if not self.use.transforms("LoadAnnotations"):
            return
        if entries and not entries[0].get("seg_map_path"):
            yield f"{where} has no label maps: give its data_prefix a seg_map_path"
            return
        self._entries, self._own = entries, self.use.has_own_parts

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def sample(self) -> int:
        """As many as hold 50 million pixels, if all are of the first one's size."""
        try:
            with opened(self._entries[0]["img_path"], "image") as image:
                return max(10, min(FILES, PIXELS // (image.width * image.height)))
        except (UserError, IndexError):
            return 10

    def faults(self, index: int) -> Iterator[str]:
        """Faults of one label map: its file, channels, size and ids."""
        entry = self._entries[index]
        try:
            yield from self._faults(entry)
        except UserError as error:
            yield str(error)

    def _faults(self, entry: dict[str, Any]) -> Iterator[str]:
        path = entry["seg_map_path"]
        if not os.path.exists(path):
            raise UserError(
                f"label map {path} of image {entry['img_path']} is missing{_other_file(path)}: put "
                "it there, or correct seg_map_suffix and data_prefix of the data set"
            )
        with opened(path, "label map") as labels:
            if labels.mode not in ONE_CHANNEL and not self._own:
                bits = labels.mode[:1] in "IF"
                what = "16 bits or more a pixel" if bits else f"colors ({labels.mode})"
                raise UserError(
                    f"label map {path} has {what}: it must be one channel of 8 bits with the "
                    "class ids themselves, as PNG of mode L or P; convert it"
                )
            pixels = np.asarray(labels)
        try:
            with opened(entry["img_path"], "image") as image:
                if labels.size not in sizes(image):
                    yield (
                        f"label map {path} has {_by(labels.size)} pixels, its image "
                        f"{entry['img_path']} has {_by(image.size)}: make both of one size "
                        "(labels by nearest neighbour)"
                    )
        except UserError:
            if not self.use.skips_broken:
                raise
        if self._own:
            return
        values = np.flatnonzero(np.bincount(pixels.astype(np.uint8).ravel(), minlength=256))
        read = self._read(values, entry)
        self._values.update(values.tolist())
        self._seen.update(read[read < self._number].tolist())
        ignored = {255, self._dataset.ignore_index}
        ignored |= {node.get("ignore_index") for node in dicts(self.use.model)}
        pairs = zip(values.tolist(), read.tolist(), strict=True)
        wrong = [v for v, label in pairs if label >= self._number and label not in ignored]
        if wrong:
            yield (
                f"label map {path} has the values {listed(wrong)}, which are no classes: allowed "
                f"are {self._allowed()}{self._hint(path, wrong)}"
            )

    def in_sum(self) -> Iterator[str]:
        """Maps that leave no two classes to tell apart."""
        if not self._values or self._number < 2:
            return
        where = f"{self.use.key}: the label maps in {self._dataset.data_prefix['seg_map_path']}"
        if self._values == {0, 255} and len(self._seen) == 1:
            yield (
                f"{where} have the values 0 and 255 alone, and 255 is ignored, so that one class "
                "is left: write the class ids 0, 1, ... instead"
            )
        elif not self._seen:
            yield (
                f"{where} have the values {listed(sorted(self._values))} alone, all of which are "
                "ignored: see reduce_zero_label and metainfo's classes"
            )

    def _read(self, values: NDArray[Any], entry: dict[str, Any]) -> NDArray[Any]:
        """The labels that mmseg makes of a file's values."""
        read = values.copy()
        if entry["reduce_zero_label"]:
            read = np.where((values == 0) | (values == 255), 255, values - 1)
        mapping = entry.get("label_map") or {}
        return np.array([mapping.get(int(label), int(label)) for label in read])

    def _allowed(self) -> str:
        mapped = self._dataset.label_map
        number = len(mapped) if mapped else self._number
        if self._dataset.reduce_zero_label:
            return f"1 to {number}, and 0 for unlabelled (reduce_zero_label)"
        return f"0 to {number - 1}, and 255 for unlabelled"

    def _hint(self, path: str, wrong: list[int]) -> str:
        if self.use.cls.__name__ == "CityscapesDataset" and max(wrong) <= CITYSCAPES_IDS:
            return (
                "; these are Cityscapes' labelIds and not its train ids: write *_labelTrainIds.png "
                "with mmseg's tools/dataset_converters/cityscapes.py, and keep seg_map_suffix"
            )
        return "; map the ids, correct reduce_zero_label, or raise classes and num_classes"

    def _unknown_classes(self) -> str:
        own = self.use.cls.METAINFO.get("classes")
        given = (self.use.dataset.get("metainfo") or {}).get("classes")
        if not own or not isinstance(given, (list, tuple)):
            return ""
        unknown = [name for name in given if name not in own]
        near = [(name, difflib.get_close_matches(str(name), own, 1)) for name in unknown]
        return listed([f"{n!r} (nearest: {m[0]!r})" if m else repr(n) for n, m in near])


def _other_file(path: str) -> str:
    """What there is instead of Cityscapes' maps of train ids."""
    other = path.replace("labelTrainIds", "labelIds")
    if other == path or not os.path.exists(other):
        return ""
    return (
        f" ({Path(other).name} is there: mmseg's tools/dataset_converters/cityscapes.py makes "
        "train ids of it)"
    )


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
