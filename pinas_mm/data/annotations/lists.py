"""Images with one label each, as mmpretrain's data sets list them: in a file or by folders."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from pinas_mm.data.annotations.base import Annotations, NotBuiltError, Use, listed
from pinas_mm.data.annotations.images import opened
from pinas_mm.errors import UserError, joined
from pinas_mm.registry import dicts

# Whose headers a second allows to read.
FILES = 300


class ImageLists(Annotations):
    """The list of a ``CustomDataset`` (``ImageNet`` is one): lines ``path label``, or folders."""

    known = "mmpretrain.datasets.custom.CustomDataset"
    methods = ("load_data_list", "_find_samples")
    noun = "images"

    def __init__(self, use: Use) -> None:
        super().__init__(use)
        # These may read what Pillow does not.
        tiffs = any(node.get("imdecode_backend") == "tifffile" for node in dicts(use.loader))
        self._opens = not (use.has_own_parts or tiffs)
        # Where labels are changed later, these are not what heads get.
        self._heads = {} if use.has_own_parts else use.heads
        # pinas_mm.ImageFolder passes over blank lines, and names classes by as many folders.
        self._ours = use.cls.load_data_list.__module__.startswith("pinas_mm.")
        # Lines and names of a list, or the paths that a data set finds, of no line.
        self._images: list[tuple[int, str]] = []

    @cached_property
    def _dataset(self) -> Any:
        return self.use.build()

    @property
    def _given(self) -> Any:
        """Classes that the config names."""
        classes = self._dataset.metainfo.get("classes")
        return None if classes == self.use.cls.METAINFO.get("classes") else classes

    def overall(self, whole: bool) -> Iterator[str]:
        """Faults of class names, heads, lines and labels."""
        classes = self._dataset.metainfo.get("classes")
        if self._dataset.ann_file:
            yield from self._file(Path(self._dataset.ann_file), classes)
            return
        wrong = []
        if self._dataset.with_label and self._heads:
            classes = self._given if self._ours else classes
            wrong = list(self._folders(Path(self._dataset.img_prefix), classes))
            yield from wrong
        # To list a million files takes longer than a second.
        if whole:
            try:
                self._images = [(0, info["img_path"]) for info in self._dataset.load_data_list()]
            except (UserError, OSError, RuntimeError, AssertionError) as error:
                if not wrong:
                    yield f"{self.use.key}: {joined(error)}"

    def against(self, trained: Iterable[Annotations]) -> Iterator[str]:
        """Whether folders number the classes as those that are trained on do."""
        # What is calibrated with has no use for labels.
        own = None if self.use.key.endswith("calibration_dataloader") else self._numbered()
        if not own:
            return
        others = (other._numbered() for other in trained if isinstance(other, ImageLists))
        root, found, names = own
        trained_root, wanted, trained_names = next(filter(None, others), own)
        # Of other folders metainfo may say that they are the same classes; what has no folder in
        # common is to have other classes, as in retrieval.
        if found != wanted and names != trained_names and {*found} & {*wanted}:
            lacking = sorted({*wanted} - {*found})
            more = sorted({*found} - {*wanted})
            differ = [f"lacks the folders {listed(lacking)}"] if lacking else []
            differ += [f"has {listed(more)} beyond those"] if more else []
            yield (
                f"{root} of {self.use.key} {' and '.join(differ)} of {trained_root}, which is "
                "trained on: a class's number is its folder's place among all, so that the same "
                "label means two classes; give both the same folders (an empty one counts), or "
                "list images and labels in an ann_file"
            )

    def _numbered(self) -> tuple[str, list[str], list[str]] | None:
        """The place and names of folders that number a head's classes, and the classes' names."""
        try:
            if self._dataset.ann_file or not (self._dataset.with_label and self._heads):
                return None
            root = self._dataset.img_prefix
            found = self._class_folders(root)
        except (NotBuiltError, OSError):
            return None
        return (root, found, list(self._given or found)) if found else None

    def _class_folders(self, root: str | Path) -> list[str]:
        found = sorted(path.name for path in Path(root).iterdir() if path.is_dir())
        return [name for name in found if not (self._ours and name.startswith("."))]

    def _file(self, path: Path, classes: tuple[str, ...] | None) -> Iterator[str]:
        try:
            content = path.read_bytes()
            # As mmengine reads it: any system's line ends.
            lines = list(io.StringIO(content.decode("utf-8"), newline=None))
        except OSError as error:
            yield f"{path} cannot be read ({error.strerror}): see ann_file of {self.use.key}"
            return
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            yield f"{path}, line {line}: {content[error.start :][:1]!r} is not UTF-8: convert it"
            return
        if not lines:
            yield f"{path} lists no image: write a line `path label` for each"
        if lines and lines[0].startswith("\ufeff"):
            yield f"{path} begins with a byte-order mark: save it as UTF-8 without one"
            return
        allowed = [(count, f"{head} has num_classes") for head, count in self._heads.items()]
        if classes:
            allowed.append((len(classes), "the data set's number of classes is"))
        most, whose = min(allowed, default=(None, ""))
        for row, text in enumerate(lines, 1):
            name = text.strip()
            where = f"{path}, line {row}"
            if not name:
                if not self._ours:
                    yield f"{where} is blank: delete it"
                continue
            if self._ours and not self._dataset.with_label:
                name = name if self._dataset.is_valid_file(name) else name.rpartition(" ")[0]
            if self._dataset.with_label:
                name, _, label = name.rpartition(" ")
                if not name or not _is_number(label):
                    yield f"{where} is {text.strip()!r}: `path label` is wanted, parted by a space"
                    continue
                if most is not None and not 0 <= int(label) < most:
                    yield (
                        f"{where}: label {label} of {name}: allowed are 0 to {most - 1}, since "
                        f"{whose} {most}; correct one of them"
                    )
            self._images.append((row, name))

    def _folders(self, root: Path, classes: tuple[str, ...] | None) -> Iterator[str]:
        try:
            found = self._class_folders(root)
        except OSError as error:
            yield (
                f"{root} of {self.use.key} is no folder that can be listed ({error.strerror}): see "
                "data_root and data_prefix"
            )
            return
        for head, number in self._heads.items():
            if len(found) > number:
                yield (
                    f"{root} has {len(found)} folders, a class each, {head} has num_classes="
                    f"{number}: set it to {len(found)}, or move away what is no class "
                    f"({listed(found)})"
                )
        if classes is None:
            return
        if len(classes) != len(found):
            yield (
                f"{root} has {len(found)} folders ({listed(found)}), metainfo has {len(classes)} "
                "classes: a folder is a class; list images and labels in an ann_file, or give "
                "as many classes"
            )
            return
        common = set(classes) & set(found)
        if common and list(classes) != found:
            wrong = [f"{a} is called {b}" for a, b in zip(found, classes, strict=True) if a != b]
            yield (
                f"{root}: classes are its folders in alphabetical order, but by metainfo's classes "
                f"{listed(wrong, 4)}: give them in the order {listed(found)}"
            )
        elif not common and "classes" in (self.use.dataset.get("metainfo") or {}):
            named = [f"{a} is {b}" for a, b in zip(found, classes, strict=True)]
            print_log(
                f"{self.use.key}: no class has its folder's name; in order, {listed(named, 4)}",
                "current",
            )

    def __len__(self) -> int:
        return len(self._images)

    @property
    def sample(self) -> int:
        """Three hundred: their headers are read."""
        return FILES

    def faults(self, index: int) -> Iterator[str]:
        """Whether an image is there and begins as one."""
        line, path = self._images[index]
        what = "image"
        if line:
            what = f"{self._dataset.ann_file}, line {line}: image"
            path = os.path.join(self._dataset.img_prefix, path)
        try:
            with opened(path, what):
                pass
        except UserError as error:
            if not os.path.isfile(path):
                yield str(error)
            elif self._opens and not self.use.skips_broken:
                hint = "with ignore_empty=True in the pipeline's pinas_mm.LoadImage"
                skips = f"; or skip such files {hint}" if self.use.transforms("LoadImage") else ""
                yield f"{error}{skips}"


def _is_number(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True
