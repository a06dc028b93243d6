#!/usr/bin/env python
"""Looks at all annotations that a config names, and says what is wrong with them."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pinas_mm import ending

ending.while_loading()

from rich.console import Console
from rich.progress import track

from pinas_mm.data.annotations import looks
from pinas_mm.engine.config import add_cfg_options, read_config, refuse_empty
from pinas_mm.engine.faults import one_line_errors

SPLITS = ("train", "val", "test", "search")
SHOWN = 30


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file, or a library's own as 'mmdet::name.py'")
    add_cfg_options(parser)
    return parser.parse_args()


def progress(indices: Iterable[int], key: str) -> Iterable[int]:
    return track(indices, key, console=Console(stderr=True))


@one_line_errors
@ending.interruptible("nothing is kept; the same command begins anew")
def main() -> None:
    args = parse_args()
    refuse_empty(args)
    cfg = read_config(args.config, args.cfg_options)
    found = 0
    for look in looks(cfg, SPLITS, whole=True, progress=progress):
        counts = {**look.counts, "faults": len(look.faults)}
        print(f"{look.key}:", ", ".join(f"{number} {noun}" for noun, number in counts.items()))
        for fault in look.faults[: max(0, SHOWN - found)]:
            print(f"  {fault}")
        found += len(look.faults)
    if found > SHOWN:
        print(f"{found - SHOWN} more faults are not shown")
    if found:
        raise SystemExit(2)


if __name__ == "__main__":
    main()
