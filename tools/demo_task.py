#!/usr/bin/env python
"""Searches supernets in a detector and a segmentor by their own metrics, on handwritten digits."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pinas_mm import ending

ending.while_loading()

from pinas_mm.commands.command import command
from pinas_mm.demo.task import TaskDemo


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/demo-task"))
    parser.add_argument(
        "--demo",
        type=Path,
        default=Path("work_dirs/demo"),
        help="work dir of tools/demo.py, whose supernet is taken; trained where it is not there",
    )
    parser.add_argument(
        "--data", type=Path, default=Path("data/digits"), help="where the images go"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


@command
@ending.interruptible("what is done is kept; the same command goes on from there")
def main() -> None:
    args = parse_args()
    TaskDemo(args.work_dir, args.demo, args.data, args.seed).run()


if __name__ == "__main__":
    main()
