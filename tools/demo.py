#!/usr/bin/env python
"""Shows the method on handwritten digits: a small supernet, its search, the winner's transfer."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pinas_mm import ending

ending.while_loading()

from pinas_mm.commands.command import command
from pinas_mm.demo import transfer
from pinas_mm.demo.run import Demo


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=Path, default="work_dirs/demo")
    parser.add_argument("--data", type=Path, default="data/digits", help="where the images go")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--full",
        action="store_true",
        help="a supernet of more steps, and the transfer also from random weights",
    )
    return parser.parse_args()


@command
@ending.interruptible("what is done is kept; the same command goes on from there")
def main() -> None:
    args = parse_args()
    Demo(
        work_dir=args.work_dir,
        # A set: another order makes no other demo.
        seeds=sorted(set(args.seeds)),
        supernet=f"configs/demo/digits_supernet{'_full' if args.full else ''}.py",
        linear="configs/demo/digits_linear.py",
        data=args.data,
        collapse=None if args.full else "configs/demo/digits_no_negatives.py",
        transfer_weights=(transfer.PRETRAINED, *([transfer.RANDOM] if args.full else [])),
    ).run()


if __name__ == "__main__":
    main()
