#!/usr/bin/env python
"""Prints parameters and multiply-adds of an architecture, without building the network."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmengine.config import Config

from pinas_mm.engine import launch
from pinas_mm.space import SearchSpace
from pinas_mm.space.cost import CostTable


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arch", nargs="+", help="architectures, as 301-3231-203213-032")
    parser.add_argument("--config", help="config whose `space` to use (default: the paper's)")
    parser.add_argument("--size", type=int, default=224, help="input height and width in pixels")
    parser.add_argument("--classes", type=int, default=1000, help="of the classifier; 0 for none")
    return parser.parse_args()


@launch.one_line_errors
def main() -> None:
    args = parse_args()
    config = Config.fromfile(args.config).get("space") if args.config else None
    table = CostTable(SearchSpace.build(config), args.size, args.classes)
    for arch in args.arch:
        print(f"{table.space.arch(arch)}  {table.cost(arch)}")
    low, high = table.bounds()
    print(f"of {table.space}: {low} to {high}")


if __name__ == "__main__":
    main()
