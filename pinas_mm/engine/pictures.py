"""Pictures of predictions, one file for each test image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.hooks import Hook
from mmengine.runner import Runner
from numpy.typing import NDArray

from pinas_mm.data.loading import LoadImage
from pinas_mm.errors import UserError
from pinas_mm.registry import HOOKS


@HOOKS.register_module()
class PicturesHook(Hook):
    """Draws every test image with its prediction, as the library's visualizer does.

    A picture is ``FOLDER/PATH.png``, PATH being the image's below the data root, so that images of
    the same name in two folders have one each (the libraries' hooks name them all alike). The
    image is what the pipeline loads: of its depth, colors and orientation.

    Args:
        folder: where the pictures go.

    Raises:
        UserError: the data set's images are in no files.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def before_test(self, runner: Runner) -> None:
        """Finds out how the data set loads its images."""
        dataset = runner.test_loop.dataloader.dataset
        while hasattr(dataset, "dataset"):  # A wrapper, as CachedDataset.
            dataset = dataset.dataset
        self._root = os.path.abspath(getattr(dataset, "data_root", None) or os.sep)
        transforms = getattr(getattr(dataset, "pipeline", None), "transforms", [])
        loaders = [t for t in transforms if isinstance(t, LoadImageFromFile)]
        self._load = loaders[0] if loaders else LoadImage()

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = (),
    ) -> None:
        """Draws the images of a batch."""
        visualizer = runner.visualizer
        draw = getattr(visualizer, "visualize_cls", None) or visualizer.add_datasample
        for sample in outputs or ():
            path = sample.get("img_path")
            if path is None:
                raise UserError("--show-dir draws images of files, this data set has none")
            file = self._file(os.path.abspath(path))
            draw(name=file.stem, image=self._image(sample), data_sample=sample, out_file=str(file))

    def _file(self, path: str) -> Path:
        root = self._root if Path(path).is_relative_to(self._root) else os.sep
        return self.folder / f"{os.path.relpath(path, root)}.png"

    def _image(self, sample: Any) -> NDArray[Any]:
        """The image of a prediction, RGB."""
        # Its size says how it was turned when it was loaded for the network.
        height, width = sample.get("ori_shape") or (None, None)
        loaded = self._load(dict(img_path=sample.img_path, height=height, width=width))["img"]
        image = np.atleast_3d(loaded).astype(np.uint8)
        image = image[..., 2::-1] if image.shape[2] >= 3 else image[..., [0, 0, 0]]
        return np.ascontiguousarray(image)
