"""Prints parameters and multiply-adds of an architecture; nothing is computed."""

from __future__ import annotations

import argparse

from pinas_mm import ending
from pinas_mm.commands.command import command
from pinas_mm.commands.options import add_cfg_options, refuse_empty


def parse_args() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arch", nargs="+", help="architectures, as 301-3231-203213-032")
    parser.add_argument("--config", help="config whose search space to use (default: the paper's)")
    add_cfg_options(parser)
    parser.add_argument("--size", type=int, default=224, help="input height and width in pixels")
    parser.add_argument("--classes", type=int, default=1000, help="of the classifier; 0 for none")
    return parser.parse_args()


@command
def main() -> None:
    """Runs ``pinas-cost``."""
    args = parse_args()
    from pinas_mm.engine.config import read_config
    from pinas_mm.export.subnet import costed
    from pinas_mm.models.cost import count_costs
    from pinas_mm.space import SearchSpace

    with ending.interruptible("the same command begins anew"):
        refuse_empty(args)
        config = read_config(args.config, args.cfg_options) if args.config else None
        network = costed(config) if config else SearchSpace()
        table = count_costs(network, args.size, args.classes)
        for arch in args.arch:
            print(f"{table.space.arch(arch)}  {table.cost(arch)}")
        low, high = table.bounds()
        print(f"of {table.space}: {low} to {high}")
