"""Where data sets lie: below ``data/`` as the libraries' configs have it, or below PINAS_DATA."""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

VARIABLE = "PINAS_DATA"
# The folder that configs of mmpretrain, mmdet and mmseg look into.
USUAL = "data"


def follow_data(cfg: Any) -> None:
    """Has a library's config read its data sets below ``$PINAS_DATA`` where that is set.

    What is changed are paths below ``data/`` that are not there while they are below
    ``$PINAS_DATA``, with or without the first folder: ``data/coco/annotations`` and
    ``data/ade/ADEChallengeData2016`` become ``$PINAS_DATA/coco/annotations`` and
    ``$PINAS_DATA/ADEChallengeData2016``. Each data set is said once.

    Args:
        cfg: config, changed in place.
    """
    root = os.environ.get(VARIABLE)
    if not root:
        return
    moved: dict[str, str] = {}
    for node, key, path in list(_usual_paths(cfg)):
        for rest in (path.parts[1:], path.parts[2:]):
            if rest and not path.exists() and (found := Path(root, *rest)).exists():
                # Prefixes of other paths end in a slash.
                slash = "/" if node[key].endswith("/") else ""
                node[key] = f"{found}{slash}"
                before = str(Path(*path.parts[: -len(rest)], rest[0]))
                moved[before] = str(Path(root, rest[0]))
                break
    for before, after in moved.items():
        print_log(f"{before} of the config is {after}, by {VARIABLE}", "current")


def _usual_paths(node: Any) -> Iterator[tuple[Any, Any, Path]]:
    """Places of texts that are paths below the usual folder, and the paths."""
    if isinstance(node, (MutableMapping, list)):
        items = node.items() if isinstance(node, MutableMapping) else enumerate(node)
        for key, value in list(items):
            if isinstance(value, str) and value.startswith(f"{USUAL}/"):
                yield node, key, Path(value)
            elif not isinstance(value, str):
                yield from _usual_paths(value)
