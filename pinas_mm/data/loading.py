"""Reading image files so that each gives one image, and a broken one is named."""

from __future__ import annotations

import io
import logging
import os
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.logging import print_log
from PIL import Image, UnidentifiedImageError

from pinas_mm.data.decoding import COLOR_TYPES, Size, decode
from pinas_mm.data.local_files import data_backend
from pinas_mm.errors import UserError, joined
from pinas_mm.registry import TRANSFORMS, dicts

# Skipped files are counted by a hash of their paths; of so many places two rarely share one.
PLACES = 2**20


# The libraries' inferencers look for mmcv's name; with _scope_='pinas_mm' it is ours.
@TRANSFORMS.register_module(name=["LoadImage", "LoadImageFromFile"])
class LoadImage(LoadImageFromFile):  # type: ignore[misc]  # mmcv has no types.
    """mmcv's LoadImageFromFile, with one image for each file (see
    :func:`~pinas_mm.data.decoding.decode`) and strict about broken ones.

    An EXIF orientation is applied or not as ``color_type`` says. Where a sample has ``height`` and
    ``width`` (COCO) or a label map, and only one of the two ways gives the image this size, it is
    that way: boxes, masks and label maps are never turned.

    Args:
        to_float32: give float32 in place of uint8; 0 to 255 too.
        color_type: ``color``, ``grayscale`` or ``unchanged``; the first two with
            ``_ignore_orientation`` appended do not turn images.
        ignore_empty: skip files that cannot be read: another sample takes the place, and the log
            names each once, with their number.
        imdecode_backend: mmcv's; whatever it says, Pillow decodes.
        backend_args: mmengine's file backend; None suits the path.

    Raises:
        UserError: there is no such ``color_type``.
    """

    def __init__(
        self,
        to_float32: bool = False,
        color_type: str = "color",
        ignore_empty: bool = False,
        imdecode_backend: str = "pillow",
        *,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        if color_type not in COLOR_TYPES:
            raise UserError(
                f"LoadImage has color_type {color_type!r}: allowed are {', '.join(COLOR_TYPES)}"
            )
        if imdecode_backend != "pillow":
            print_log(
                f"pinas_mm.LoadImage decodes with Pillow, imdecode_backend={imdecode_backend} "
                "changes nothing",
                "current",
            )
        super().__init__(to_float32, color_type, "pillow", None, False, backend_args=backend_args)
        self.skip_broken = ignore_empty
        if ignore_empty:
            # Shared by the loader's workers, so that they name and count a file once.
            self._skipped = torch.zeros(PLACES, dtype=torch.bool).share_memory_()

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Adds ``img`` (H, W, 3; BGR, uint8 unless asked otherwise) and its shape.

        Returns:
            The sample; None where its file is skipped.

        Raises:
            UserError: the file is missing, broken or no file, and ``ignore_empty`` is False; or the
                label map that shows the image's size cannot be read. The file is named.
        """
        path = results["img_path"]
        try:
            content = data_backend(path, self.backend_args).get(path)
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                image = decode(content, self.color_type, lambda: self._annotated_size(results))
        except UserError:
            raise
        except Exception as error:  # Decoders raise whatever they come upon in a broken file.
            reason = _reason(error)
            if self.skip_broken:
                self._skip(path, reason)
                return None
            raise UserError(
                f"cannot read image {_shown(path)} ({reason}): repair or delete it, or skip such "
                "files with ignore_empty=True in the pipeline's pinas_mm.LoadImage"
            ) from error
        for warning in said:  # Pillow's, of what is damaged beside the pixels.
            text = f"image {_shown(path)}: {warning.message}"
            warnings.warn(text, warning.category, stacklevel=2)
        results["img"] = image.astype(np.float32) if self.to_float32 else image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results

    def _annotated_size(self, results: dict[str, Any]) -> Size | None:
        """Width and height of a sample's boxes, masks or label map."""
        if results.get("width") and results.get("height"):
            return results["width"], results["height"]
        path = results.get("seg_map_path")
        if not path:
            return None
        try:
            with Image.open(io.BytesIO(data_backend(path, self.backend_args).get(path))) as labels:
                return labels.size
        except Exception as error:  # As with images.
            raise UserError(
                f"cannot read label map {_shown(path)} ({_reason(error)}): repair it, or delete "
                "it and its image"
            ) from error

    def _skip(self, path: str, reason: str) -> None:
        place = zlib.crc32(os.fsencode(path)) % PLACES
        if not self._skipped[place]:
            self._skipped[place] = True
            print_log(
                f"image {_shown(path)} is skipped ({reason}); skipped so far: "
                f"{int(self._skipped.sum())}",
                "current",
                logging.WARNING,
            )


@TRANSFORMS.register_module(name="InferencerLoader")
def inferencer_loader(**options: Any) -> BaseTransform:
    """mmseg's, which its inferencer puts in the place of ours without saying the scope."""
    return TRANSFORMS.build(dict(type="InferencerLoader", _scope_="mmseg", **options))


def check_skipping(split: str, dataset: dict[str, Any]) -> None:
    """Raises :class:`UserError` where an evaluated set's config asks to skip broken images.

    In training another image takes the place; a metric is over all of them, and the libraries'
    data sets end in an error of no name.
    """
    transforms = dicts(dataset.get("pipeline") or [])
    if dataset.get("test_mode") and any(one.get("ignore_empty") for one in transforms):
        raise UserError(
            f"the {split} set has ignore_empty=True and test_mode=True: no image of a metric is "
            "skipped; leave ignore_empty out of its pipeline, and repair or delete what cannot be "
            "read"
        )


def _shown(path: str | Path) -> str:
    """A path for one line of a log: names may have line ends, and bytes that are no letters."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(path))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no image that Pillow knows"
    return _shown(joined(error))
