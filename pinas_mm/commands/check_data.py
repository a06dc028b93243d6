"""Looks at all annotations that a config names, and says what is wrong with them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any, cast

from rich.console import Console
from rich.progress import track

from pinas_mm import ending
from pinas_mm.commands.command import command
from pinas_mm.commands.options import add_cfg_options, refuse_empty

SPLITS = ("train", "val", "test", "search")
SHOWN = 30


def parse_args() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file, or a library's own as 'mmdet::name.py'")
    add_cfg_options(parser)
    return parser.parse_args()


def _progress(indices: Iterable[int], key: str) -> Iterable[int]:
    return track(indices, key, console=Console(stderr=True))


@command
def main() -> None:
    """Runs ``pinas-check-data``."""
    args = parse_args()
    from pinas_mm.data.annotations import looks
    from pinas_mm.engine.config import read_config

    with ending.interruptible("nothing is kept; the same command begins anew"):
        refuse_empty(args)
        cfg = read_config(args.config, args.cfg_options)
        found = 0
        for look in looks(cast(Any, cfg), SPLITS, whole=True, progress=_progress):
            counts = {**look.counts, "faults": len(look.faults)}
            print(f"{look.key}:", ", ".join(f"{number} {noun}" for noun, number in counts.items()))
            for fault in look.faults[: max(0, SHOWN - found)]:
                print(f"  {fault}")
            found += len(look.faults)
        if found > SHOWN:
            print(f"{found - SHOWN} more faults are not shown")
        if found:
            raise SystemExit(2)
