"""Writes data sets whole or not at all, and never over anything that is not its own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pinas_mm.data.digits.digits import Digits, load_digits
from pinas_mm.data.digits.layouts import LAYOUTS, DataSetLayout
from pinas_mm.data.digits.photos import Photos, load_photos
from pinas_mm.errors import UserError
from pinas_mm.files import whole_folder
from pinas_mm.whole_numbers import check_seed

MAX_HEIGHT = 2048
# A day's work; 1,797 digits on two photographs say nothing new in more.
MAX_IMAGES = 1_000_000
PROVENANCE = "provenance.json"
# Raise it when the same parameters give other files, so that older sets are not taken for new.
REVISION = 1

_Sources = dict[str, tuple[Digits, Photos]]


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of one layout.

    Attributes:
        folder: where it is.
        parameters: all that decides its content, as in its ``provenance.json``.
        kept: true if it was there already, made with the same parameters.
    """

    folder: Path
    parameters: dict[str, Any]
    kept: bool

    def __str__(self) -> str:
        p = self.parameters
        text = (
            f"{p['layout']}: {p['train']:,} train and {p['val']:,} val images of "
            f"{p['height']}x{p['width']} pixels (height x width) "
        )
        made_before = "were there already, made with the same parameters, in"
        return f"{text}{made_before if self.kept else 'written to'} {self.folder}"


def prepare(
    out: str | Path,
    layouts: Sequence[str] = tuple(LAYOUTS),
    *,
    seed: int = 0,
    contrast: float = 0.15,
    train: int | None = None,
    val: int | None = None,
    height: int | None = None,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Iterator[Report]:
    """Writes handwritten digits in the folder layouts of well-known data sets.

    Each layout is a folder in ``out`` that appears when it is complete. It contains a
    ``provenance.json`` with the parameters and, for each image, the indices of its digits in
    scikit-learn's ``load_digits`` and the crop of its photograph, where it has one. Train and
    validation images share no digit and no pixel of a photograph. Same arguments, same bytes; fewer
    images are the first of more.

    Args:
        out: folder for the layouts' folders, made if missing.
        layouts: names from :data:`pinas_mm.data.digits.layouts.LAYOUTS`.
        seed: 0 to 4294967295.
        contrast: factor on the photographs' contrast, 0 (even color) to 1 (unchanged).
        train, val: images of each layout's splits; None for the layout's own number.
        height: image height in pixels, up to 2048; None for the layout's own. The width follows
            from the layout's aspect.
        overwrite: replace layouts that were made with other parameters.
        progress: called with layout, images written and images in all.

    Yields:
        A :class:`Report` as each layout is done. Nothing happens before the first is asked for;
        all arguments and existing folders are checked before anything is written.

    Raises:
        UserError: an argument out of range, a folder that cannot be written, an existing folder
            made with other parameters (unless ``overwrite``), or one that this function did not
            make (always).
    """
    out = Path(out)
    _check(layouts, seed, contrast, train, val)
    jobs = []
    for name in dict.fromkeys(layouts):
        layout = LAYOUTS[name]
        size = layout.size(_checked_height(layout, height))
        parameters = {
            "layout": name,
            "revision": REVISION,
            "seed": seed,
            "contrast": float(contrast),
            "train": train or layout.train,
            "val": val or layout.val,
            "height": size[0],
            "width": size[1],
        }
        kept = _existing(out / layout.folder, parameters, overwrite)
        jobs.append((layout, Report(out / layout.folder, parameters, kept)))

    digits, photos = load_digits(seed), load_photos()
    sources = {split: (digits[split], photos[split]) for split in digits}
    for layout, report in jobs:
        if not report.kept:
            with whole_folder(report.folder) as folder:
                _write(folder, layout, report.parameters, sources, progress)
        yield report


def _write(
    folder: Path,
    layout: DataSetLayout,
    parameters: dict[str, Any],
    sources: _Sources,
    progress: Callable[[str, int, int], None],
) -> None:
    writer = layout.writer(folder)
    total = parameters["train"] + parameters["val"]
    images: dict[str, dict[str, Any]] = {}
    layout_number = list(LAYOUTS).index(layout.name) + 1
    for split_number, (split, (digits, photos)) in enumerate(sources.items()):
        scenes = layout.scenes(
            (parameters["seed"], layout_number, split_number),
            digits,
            photos,
            parameters[split],
            (parameters["height"], parameters["width"]),
            parameters["contrast"],
        )
        for index, scene in enumerate(scenes):
            path = writer.add(split, index, scene)
            images[path] = {"split": split, "digits": list(scene.digits)}
            if scene.photo:
                images[path] |= {"photo": scene.photo, "box": scene.box}
            progress(layout.name, len(images), total)
    writer.finish()
    content = json.dumps({"parameters": parameters, "images": images})
    (folder / PROVENANCE).write_text(content, newline="\n")


def _check(
    layouts: Sequence[str], seed: int, contrast: float, train: int | None, val: int | None
) -> None:
    unknown = sorted(set(layouts) - set(LAYOUTS))
    if unknown or not layouts:
        given = ", ".join(unknown) or "none"
        raise UserError(f"layouts: {given} given, allowed are {', '.join(LAYOUTS)}")
    check_seed(seed)
    if not 0 <= contrast <= 1:
        raise UserError(f"contrast is {contrast}, allowed is 0 to 1")
    for split, count in (("train", train), ("val", val)):
        if count is not None and not 1 <= count <= MAX_IMAGES:
            raise UserError(f"{split} is {count}, allowed are 1 to {MAX_IMAGES:,} images")


def _checked_height(layout: DataSetLayout, height: int | None) -> int:
    height = layout.height if height is None else height
    if not layout.min_height <= height <= MAX_HEIGHT:
        raise UserError(
            f"size is {height}, allowed for {layout.name} is {layout.min_height} to {MAX_HEIGHT} "
            "pixels"
        )
    return height


def _existing(folder: Path, parameters: dict[str, Any], overwrite: bool) -> bool:
    """Whether the wanted set is there; an error if another is and may not be replaced."""
    try:
        if not folder.exists():
            return False
        made = dict(json.loads((folder / PROVENANCE).read_bytes())["parameters"])
        differences = ", ".join(
            f"{key} {made.get(key)} and not {value}"
            for key, value in parameters.items()
            if made.get(key) != value
        )
        owned = made.get("layout") == parameters["layout"] and not folder.is_symlink()
    except (FileNotFoundError, NotADirectoryError, ValueError, LookupError, TypeError):
        owned, differences = False, "unknown"
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}") from error
    if not differences:
        return True
    if not owned:
        raise UserError(
            f"{folder} exists and was not made by this tool: move it away or choose another folder"
        )
    if not overwrite:
        raise UserError(
            f"{folder} was made with {differences}: choose another folder, or --overwrite to "
            "replace it"
        )
    return False
