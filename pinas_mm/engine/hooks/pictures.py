"""Pictures of predictions: a file for each test image, some of each validation in TensorBoard."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.dist import utils
from mmengine.hooks import Hook
from mmengine.runner import Runner
from numpy.typing import NDArray

from pinas_mm.data.loading import LoadImage
from pinas_mm.errors import UserError
from pinas_mm.registry import HOOKS


@HOOKS.register_module()
class PicturesHook(Hook):
    """Draws images with their predictions, as the library's visualizer does.

    A test's go to files, ``FOLDER/PATH.png``, PATH being the image's below the data root, so that
    images of the same name in two folders have one each (the libraries' hooks name them all alike).
    A validation's go to the visualizer's backends, as TensorBoard, at the training's step. The
    image is what the pipeline loads: of its depth, colors and orientation.

    Args:
        folder: where the pictures of a test go; None draws none.
        validation: how many images of each validation are drawn, its first ones.

    Raises:
        UserError: the data set's images are in no files; ``validation`` is negative.

    Example:
        >>> custom_hooks = [dict(type='pinas_mm.PicturesHook', validation=4)]
    """

    def __init__(self, folder: str | Path | None = None, validation: int = 0) -> None:
        self.folder = None if folder is None else Path(folder)
        if validation < 0:
            raise UserError(f"validation is {validation}: give the number of images to draw")
        self.validation, self._drawn = validation, 0

    def before_test(self, runner: Runner) -> None:
        """Finds out how the data set loads its images."""
        dataset: Any = runner.test_loop.dataloader.dataset
        self._look_at(dataset)
        if hasattr(dataset, "metainfo"):
            with _drawing():
                runner.visualizer.dataset_meta = dataset.metainfo

    def before_val(self, runner: Runner) -> None:
        """The same, for a validation."""
        self._look_at(runner.val_loop.dataloader.dataset)
        self._drawn = 0

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = (),
    ) -> None:
        """Draws the images of a batch."""
        if self.folder is None:
            return
        for sample in outputs or ():
            file = self._file(self.folder, _path(sample, "--show-dir"))
            with _drawing():
                self._draw(runner.visualizer, sample, name=file.stem, out_file=str(file))

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = (),
    ) -> None:
        """Draws those of a batch that are among the first ones."""
        for sample in (outputs or ())[: self.validation - self._drawn]:
            name = f"prediction {self._drawn + 1}, {Path(_path(sample, 'PicturesHook')).stem}"
            self._draw(runner.visualizer, sample, name=name, step=runner.iter)
            self._drawn += 1

    def _look_at(self, dataset: Any) -> None:
        # Of each data root.
        self._loaders: dict[str, Any] = {}
        for part in _parts(dataset):
            root = os.path.abspath(getattr(part, "data_root", None) or os.sep)
            transforms = getattr(getattr(part, "pipeline", None), "transforms", [])
            loaders = [t for t in transforms if isinstance(t, LoadImageFromFile)]
            self._loaders.setdefault(root, loaders[0] if loaders else LoadImage())
        self._root = os.path.commonpath(self._loaders)

    def _draw(self, visualizer: Any, sample: Any, **where: Any) -> None:
        draw = getattr(visualizer, "visualize_cls", None) or visualizer.add_datasample
        draw(image=self._image(sample), data_sample=sample, **where)

    def _file(self, folder: Path, path: str) -> Path:
        root = self._root if Path(path).is_relative_to(self._root) else os.sep
        return folder / f"{os.path.relpath(path, root)}.png"

    def _image(self, sample: Any) -> NDArray[Any]:
        """The image of a prediction, RGB."""
        # Its size says how it was turned when it was loaded for the network.
        height, width = sample.get("ori_shape") or (None, None)
        path = Path(os.path.abspath(sample.img_path))
        roots = [root for root in self._loaders if path.is_relative_to(root)]
        load = self._loaders[max(roots, key=len, default=next(iter(self._loaders)))]
        loaded = load(dict(img_path=sample.img_path, height=height, width=width))["img"]
        image = np.atleast_3d(loaded).astype(np.uint8)
        image = image[..., 2::-1] if image.shape[2] >= 3 else image[..., [0, 0, 0]]
        return np.ascontiguousarray(image)


def _parts(dataset: Any) -> Iterator[Any]:
    """The data sets that a wrapper, as CachedDataset, or a ConcatDataset is of."""
    while hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    if not getattr(dataset, "datasets", None):
        yield dataset
        return
    for part in dataset.datasets:
        yield from _parts(part)


@contextlib.contextmanager
def _drawing() -> Iterator[None]:
    """Has a visualizer draw in each process, whose images are its own: mmengine's do in the first
    one only.
    """
    asked = utils.is_main_process
    utils.is_main_process = lambda group=None: True
    try:
        yield
    finally:
        utils.is_main_process = asked


def _path(sample: Any, what: str) -> str:
    path = sample.get("img_path")
    if path is None:
        raise UserError(f"{what} draws images of files, this data set has none")
    return os.path.abspath(path)
