"""The folder layouts, as mmpretrain's, mmdet's and mmseg's own data set classes read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pinas_mm.data.digits.coco import SceneAnnotations
from pinas_mm.data.digits.digits import NUM_CLASSES, Digits
from pinas_mm.data.digits.fragments import SIDE, scenes_among_fragments
from pinas_mm.data.digits.photos import Photos
from pinas_mm.data.digits.scenes import Scene, compose

JPEG_QUALITY = 95
_IGNORED = 255


@dataclasses.dataclass(frozen=True)
class DataSetLayout:
    """A kind of data set: what its images hold and where its files go.

    Attributes:
        name: how the command line calls it.
        folder: its folder, named as in the original data set.
        writer: its :class:`Writer`.
        train, val: images of each split, by default.
        height: height of an image in pixels, by default.
        min_height: below it digits cannot be read.
        aspect: width over height of an image.
    """

    name: str
    folder: str
    writer: type[Writer]
    train: int
    val: int
    height: int
    min_height: int
    aspect: float = 1

    def size(self, height: int) -> tuple[int, int]:
        """Height and width in pixels."""
        return height, round(height * self.aspect)

    def scenes(
        self,
        seeds: Sequence[int],
        digits: Digits,
        photos: Photos,
        number: int,
        size: tuple[int, int],
        contrast: float,
    ) -> Iterator[Scene]:
        """Draws a split; fewer images are the first of more.

        Args:
            seeds: of all that is random.
            digits: the split's digits.
            photos: the split's photographs.
            number: of scenes.
            size: height and width in pixels.
            contrast: factor on the photographs' contrast, 0 to 1.
        """
        raise NotImplementedError(f"{type(self).__name__} must define scenes()")


@dataclasses.dataclass(frozen=True)
class OnPhotographs(DataSetLayout):
    """Digits in random colors on photographs.

    Attributes:
        digits: fewest and most digits an image.
        extent: smallest and largest digit, as a share of the image's height.
    """

    digits: tuple[int, int] = (1, 1)
    extent: tuple[float, float] = (0.45, 0.85)

    def scenes(
        self,
        seeds: Sequence[int],
        digits: Digits,
        photos: Photos,
        number: int,
        size: tuple[int, int],
        contrast: float,
    ) -> Iterator[Scene]:
        """Draws a split; nothing depends on how many images come before one."""
        for index in range(number):
            rng = np.random.default_rng([*seeds, index])
            labels = self._labels(rng, index)
            yield compose(rng, digits, photos, labels, size, self.extent, contrast)

    def _labels(self, rng: np.random.Generator, index: int) -> list[int]:
        """Classes of the digits of image ``index``; balanced where an image has only one."""
        fewest, most = self.digits
        if most == 1:
            return [index % NUM_CLASSES]
        return rng.integers(NUM_CLASSES, size=rng.integers(fewest, most + 1)).tolist()


@dataclasses.dataclass(frozen=True)
class AmongFragments(DataSetLayout):
    """A gray digit with a fragment of another, without a photograph."""

    def scenes(
        self,
        seeds: Sequence[int],
        digits: Digits,
        photos: Photos,
        number: int,
        size: tuple[int, int],
        contrast: float,
    ) -> Iterator[Scene]:
        """Draws a split."""
        return scenes_among_fragments(seeds, digits, number, size[0])


class Writer:
    """Writes one data set's scenes below ``root``, an existing empty folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, split: str, index: int, scene: Scene) -> str:
        """Writes scene ``index`` (from 0) of ``train`` or ``val``; returns the image's path.

        The path is relative to the root, with ``/`` on every system.
        """
        raise NotImplementedError(f"{type(self).__name__} must define add()")

    def finish(self) -> None:
        """Writes the files that need all scenes."""

    def _save(self, path: str, image: NDArray[Any]) -> str:
        # Color at full resolution: a 32-pixel digit would lose its own to chroma subsampling.
        options = []
        if path.endswith(".jpg"):
            options = [
                cv2.IMWRITE_JPEG_QUALITY,
                JPEG_QUALITY,
                cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
                cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
            ]
        bgr = image[..., ::-1] if image.ndim == 3 else image
        # Not cv2.imwrite: it answers a full disk with False and no reason.
        _, data = cv2.imencode(Path(path).suffix, bgr, options)
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.tobytes())
        return path


class ImageNetWriter(Writer):
    """``{train,val}/digit_D/*.jpg`` and ``meta/{train,val}.txt`` with lines ``path label``.

    mmpretrain's ``ImageNet(data_root=..., split=...)`` finds both by itself; labels are 0 to 9.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._lines: dict[str, list[str]] = {"train": [], "val": []}

    def add(self, split: str, index: int, scene: Scene) -> str:
        """Writes the image and notes its line."""
        label = scene.labels[0]
        name = f"digit_{label}/digit_{label}_{index:06d}.jpg"
        self._lines[split].append(f"{name} {label}\n")
        return self._save(f"{split}/{name}", scene.image)

    def finish(self) -> None:
        """Writes ``meta``."""
        meta = self.root / "meta"
        meta.mkdir()
        for split, lines in self._lines.items():
            (meta / f"{split}.txt").write_text("".join(lines), newline="\n")


class CocoWriter(Writer):
    """``{train,val}2017/*.jpg`` and ``annotations/instances_{train,val}2017.json``.

    Digit d is the category at position d of COCO's 80 (0 is person, 9 is traffic light), so that
    mmdet's ``CocoDataset``, which knows those names alone, reads it as it is.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._annotations = {split: SceneAnnotations() for split in ("train", "val")}

    def add(self, split: str, index: int, scene: Scene) -> str:
        """Writes the image and notes its annotations."""
        name = f"{index + 1:012d}.jpg"
        self._annotations[split].add(index + 1, name, scene)
        return self._save(f"{split}2017/{name}", scene.image)

    def finish(self) -> None:
        """Writes ``annotations``."""
        folder = self.root / "annotations"
        folder.mkdir()
        for split, collected in self._annotations.items():
            collected.write(folder / f"instances_{split}2017.json")


class Ade20kWriter(Writer):
    """``{images,annotations}/{training,validation}/ADE_{train,val}_*``, labels as in ADE20K.

    Digit d has label d + 1, the photograph 11, and 0 means unlabelled: the digits' outlines.
    mmseg's ``ADE20KDataset`` turns them into 0 to 9, 10 and 255.
    """

    def add(self, split: str, index: int, scene: Scene) -> str:
        """Writes the image and its label map."""
        folder = {"train": "training", "val": "validation"}[split]
        name = f"{folder}/ADE_{split}_{index + 1:08d}"
        labels = scene.semantic(background=NUM_CLASSES, doubtful=_IGNORED)
        # uint8 turns 255 + 1 into 0, ADE20K's own "unlabelled".
        self._save(f"annotations/{name}.png", labels + np.uint8(1))
        return self._save(f"images/{name}.jpg", scene.image)


class CityscapesWriter(Writer):
    """``{leftImg8bit,gtFine}/{train,val}/CITY/*.png``; a city is a photograph.

    Digit d has train id d, the photograph 10, the digits' outlines 255 (ignored).
    """

    def add(self, split: str, index: int, scene: Scene) -> str:
        """Writes the image and its label map."""
        city = Path(scene.photo).stem
        name = f"{split}/{city}/{city}_{index:06d}_000000"
        labels = scene.semantic(background=NUM_CLASSES, doubtful=_IGNORED)
        self._save(f"gtFine/{name}_gtFine_labelTrainIds.png", labels)
        return self._save(f"leftImg8bit/{name}_leftImg8bit.png", scene.image)


# New ones come last: the place of a layout is among the seeds of its images.
LAYOUTS = {
    layout.name: layout
    for layout in (
        OnPhotographs("imagenet", "imagenet", ImageNetWriter, 4000, 1000, 32, 16),
        OnPhotographs(
            "coco", "coco", CocoWriter, 400, 100, 128, 64, 1.25, digits=(2, 6), extent=(0.25, 0.45)
        ),
        OnPhotographs(
            "ade20k",
            "ADEChallengeData2016",
            Ade20kWriter,
            *(400, 100, 128, 64),
            digits=(1, 4),
            extent=(0.3, 0.6),
        ),
        OnPhotographs(
            "cityscapes",
            "cityscapes",
            CityscapesWriter,
            *(200, 50, 128, 64, 2),
            digits=(3, 7),
            extent=(0.25, 0.55),
        ),
        AmongFragments("fragments", "fragments", ImageNetWriter, 12_000, 2_000, SIDE, SIDE),
    )
}
