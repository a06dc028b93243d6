"""Images in folders, with labels or without."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from mmengine.fileio import list_from_file
from mmengine.logging import print_log
from mmpretrain.datasets import ImageNet

from pinas_mm.data.local_files import data_backend
from pinas_mm.errors import UserError
from pinas_mm.registry import DATASETS


@DATASETS.register_module()
class ImageFolder(ImageNet):  # type: ignore[misc]  # mmpretrain has no types.
    """mmpretrain's ImageNet for a user's own folders too.

    Images are those that ``meta/{split}.txt`` lists, or else all in the folder of the split but
    for hidden ones, at any depth. Without labels any such folder will do. With them, and without a
    list, the folders' names in alphabetical order are the classes.

    Args:
        with_label: False takes images without labels; of a list that has some the labels are left
            out.
        options: as for ImageNet: ``data_root``, ``split`` (None takes all of ``data_root``), ...

    Raises:
        UserError: there are no images, a list cannot be read, or labels are asked for and there
            are no folders to name them, or other ones than ``metainfo`` says.
    """

    IMG_EXTENSIONS = (*ImageNet.IMG_EXTENSIONS, ".tiff", ".webp")

    def __init__(self, *, with_label: bool = True, **options: Any) -> None:
        super().__init__(with_label=with_label, **options)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Paths of the images, and labels."""
        samples = self._listed() if self.ann_file else self._find_samples()
        if not samples:
            raise UserError(
                f"no images in {self.ann_file or self.img_prefix}: their names must end in "
                f"{', '.join(self.IMG_EXTENSIONS)}"
            )
        join = data_backend(self.img_prefix).join_path
        infos = [dict(img_path=join(self.img_prefix, name), gt_label=n) for name, n in samples]
        if not self.with_label:
            for info in infos:
                del info["gt_label"]
        return infos

    def _listed(self) -> list[tuple[str, int | None]]:
        """Names and labels of the list, one image a line."""
        try:
            lines = [line.strip() for line in list_from_file(self.ann_file)]
        except UnicodeDecodeError as error:
            raise UserError(f"{self.ann_file} is no UTF-8 text: {error}") from error
        return [self._entry(*entry) for entry in enumerate(lines, 1) if entry[1]]

    def _entry(self, number: int, line: str) -> tuple[str, int | None]:
        if not self.with_label and self.is_valid_file(line):
            return line, None
        name, _, label = line.rpartition(" ")
        if not name or not label.isdecimal():
            raise UserError(
                f"{self.ann_file} has {line!r} in line {number}: a line is an image's name, a "
                "space and the number of its class"
            )
        return name, int(label)

    def _find_samples(self) -> list[tuple[str, int | None]]:
        """Names and labels by the folders."""
        backend = data_backend(self.img_prefix)
        found = backend.list_dir_or_file(self.img_prefix, list_dir=False, recursive=True)
        # Folder by folder, as ImageNet's lists are.
        files = sorted(filter(self.is_valid_file, found), key=lambda file: file.split(os.sep, 1))
        if not self.with_label:
            return [(file, None) for file in files]
        folders = backend.list_dir_or_file(self.img_prefix, list_file=False)
        labels = {name: n for n, name in enumerate(sorted(folders))}
        inside = [file for file in files if file.split(os.sep, 1)[0] in labels]
        if not inside and files:
            raise UserError(
                f"{self.img_prefix} has images but no folders with some, whose names would be "
                "their labels: sort them into folders, or take them without labels with "
                "with_label=False in the data set"
            )
        empty = sorted(labels.keys() - {file.split(os.sep, 1)[0] for file in inside})
        if empty:
            print_log(f"no images in {', '.join(empty)} of {self.img_prefix}", "current")
        if len(inside) < len(files):
            print_log(
                f"{len(files) - len(inside)} images in {self.img_prefix} are in no class's folder "
                "and left out",
                "current",
            )
        self._take_classes(tuple(labels))
        return [(file, labels[file.split(os.sep, 1)[0]]) for file in inside]

    def _take_classes(self, folders: Sequence[str]) -> None:
        """ImageNet's names are kept for as many folders."""
        told = tuple(self.CLASSES)
        if len(told) == len(folders):
            return
        if told != tuple(ImageNet.METAINFO["classes"]):
            raise UserError(
                f"{self.img_prefix} has {len(folders)} folders, metainfo names {len(told)} "
                "classes: make them equal"
            )
        self._metainfo["classes"] = folders
