#!/usr/bin/env python
"""Prints parameters and multiply-adds of an architecture; nothing is computed."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pinas_mm import ending

ending.while_loading()

from pinas_mm.engine.config import add_cfg_options, read_config, refuse_empty
from pinas_mm.engine.faults import one_line_errors
from pinas_mm.export.subnet import read_space
from pinas_mm.models.cost import count_costs
from pinas_mm.space import SearchSpace


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arch", nargs="+", help="architectures, as 301-3231-203213-032")
    parser.add_argument("--config", help="config whose search space to use (default: the paper's)")
    add_cfg_options(parser)
    parser.add_argument("--size", type=int, default=224, help="input height and width in pixels")
    parser.add_argument("--classes", type=int, default=1000, help="of the classifier; 0 for none")
    return parser.parse_args()


@one_line_errors
@ending.interruptible("the same command begins anew")
def main() -> None:
    args = parse_args()
    refuse_empty(args)
    space = (
        read_space(read_config(args.config, args.cfg_options))[0] if args.config else SearchSpace()
    )
    table = count_costs(space, args.size, args.classes)
    for arch in args.arch:
        print(f"{table.space.arch(arch)}  {table.cost(arch)}")
    low, high = table.bounds()
    print(f"of {table.space}: {low} to {high}")


if __name__ == "__main__":
    main()
