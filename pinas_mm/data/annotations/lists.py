"""Images with one label each, as mmpretrain's data sets list them: in a file or by folders."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from mmengine.logging import print_log

from pinas_mm.data.annotations.base import Annotations, Use, listed

FILES = 1000


class ImageLists(Annotations):
    """The list of a ``CustomDataset`` (``ImageNet`` is one): lines ``path label``, or folders."""

    known = "mmpretrain.datasets.custom.CustomDataset"
    methods = ("load_data_list", "_find_samples")
    noun = "listed images"

    def __init__(self, use: Use) -> None:
        super().__init__(use)
        self._lines: list[tuple[int, str]] = []

    def overall(self, whole: bool) -> Iterator[str]:
        """Faults of class names, heads, lines and labels."""
        self._dataset = self.use.build()
        # Where labels are changed later, these are not what heads get.
        self._heads = {} if self.use.has_own_parts else self.use.heads
        classes = self._dataset.metainfo.get("classes")
        # pinas_mm.ImageFolder passes over blank lines, and names classes by as many folders.
        self._ours = self.use.cls.load_data_list.__module__.startswith("pinas_mm.")
        if self._ours and classes == self.use.cls.METAINFO.get("classes"):
            classes = classes if self._dataset.ann_file else None
        if self._dataset.ann_file:
            yield from self._file(Path(self._dataset.ann_file), classes)
        elif self._dataset.with_label and self._heads:
            yield from self._folders(Path(self._dataset.img_prefix), classes)

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
            self._lines.append((row, name))

    def _folders(self, root: Path, classes: tuple[str, ...] | None) -> Iterator[str]:
        if not root.is_dir():
            yield f"{root} of {self.use.key} is no folder: see data_root and data_prefix"
            return
        found = sorted(path.name for path in root.iterdir() if path.is_dir())
        if self._ours:
            found = [name for name in found if not name.startswith(".")]
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
        return len(self._lines)

    @property
    def sample(self) -> int:
        """A thousand: each is looked for."""
        return FILES

    def faults(self, index: int) -> Iterator[str]:
        """Whether a listed file is there."""
        line, name = self._lines[index]
        path = Path(self._dataset.img_prefix, name)
        if not path.is_file():
            yield (
                f"{self._dataset.ann_file}, line {line}: {path} is missing: put it there, or "
                "delete the line"
            )


def _is_number(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True
