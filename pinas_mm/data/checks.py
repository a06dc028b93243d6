"""Is the data there that a config names?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pinas_mm.data.loading import check_skipping
from pinas_mm.data.roots import VARIABLE
from pinas_mm.errors import UserError
from pinas_mm.registry import dicts, type_name


def check_data(split: str, dataloader: dict[str, Any], key: str | None = None) -> None:
    """Checks that the data sets of a loader's config are there.

    Args:
        split: what the message calls them.
        dataloader: the loader's config.
        key: where it stands in the config; None is ``{split}_dataloader``.

    Raises:
        UserError: one is not; names the split and the path.
    """
    for dataset in dicts(dataloader):
        check_skipping(split, dataset)
        root = dataset.get("data_root")
        if not root or "://" in root:
            continue
        if _is_missing(split, Path(root)):
            raise UserError(
                f"data root {root} of the {split} set is missing or empty: set PINAS_DATA"
                f"{_now()} to the folder that holds the data sets, or "
                f"--cfg-options {key or f'{split}_dataloader'}.dataset.data_root=...; "
                "tools/prepare_digits.py writes small real ones"
            )
        for path in _parts(dataset):
            if _is_missing(split, Path(root, path)):
                raise UserError(
                    f"{Path(root, path)} of the {split} set is missing or empty: {root} does "
                    "not look like the data set that the config expects"
                )


def _parts(dataset: dict[str, Any]) -> Iterator[str]:
    """What a data set reads of its data root, as far as its config says."""
    prefix = dataset.get("data_prefix") or {}
    paths = list(prefix.values()) if isinstance(prefix, dict) else [prefix]
    # As mmpretrain takes it; beside a prefix it names the list alone.
    if type_name(dataset) in ("ImageNet", "ImageFolder") and not prefix:
        paths.append(dataset.get("split"))
    for path in [*paths, dataset.get("ann_file")]:
        if path and "://" not in path:
            yield path


def _now() -> str:
    """What the variable is, where it is set."""
    return f", now {os.environ[VARIABLE]}," if os.environ.get(VARIABLE) else ""


def _is_missing(split: str, path: Path) -> bool:
    try:
        return not path.exists() or (path.is_dir() and not any(path.iterdir()))
    except OSError as error:
        raise UserError(
            f"{path} of the {split} set cannot be read ({error.strerror}): correct the path, or "
            "allow it to be read"
        ) from error
