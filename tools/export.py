#!/usr/bin/env python
"""Cuts an architecture's stand-alone backbone weights from a trained supernet.

The file loads into pinas_mm.PiNASBackbone of this architecture and space, also by
init_cfg=dict(type='Pretrained', checkpoint=FILE).
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmengine.config import Config, DictAction

from pinas_mm.cost import CostTable
from pinas_mm.engine import launch
from pinas_mm.errors import UserError
from pinas_mm.export import (
    read_best,
    read_space,
    recompute_statistics,
    subnet_of,
    write_subnet,
)
from pinas_mm.models.batch_norm import batch_norms


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--arch", help="the architecture, as 301-3231-203213-032")
    which.add_argument("--best", metavar="DIR", help="take it from a search's work dir")
    parser.add_argument("--rank", type=int, default=1, help="which of the best (default: 1)")
    parser.add_argument(
        "--supernet",
        metavar="CHECKPOINT",
        help="checkpoint or work dir of the supernet (default: the search's)",
    )
    parser.add_argument("--out", metavar="FILE", required=True, help="the file to write")
    parser.add_argument(
        "--config",
        help="config whose space to use (default: that of the search, of --calibrate's config, or "
        "the paper's)",
    )
    parser.add_argument(
        "--calibrate",
        metavar="CONFIG",
        help="recompute batch-norm statistics on training images of this config: the supernet's, "
        "its classifier's or its search's",
    )
    parser.add_argument(
        "--batches", type=int, default=49, help="to recompute them on (default: 49)"
    )
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, help="override settings of both configs"
    )
    parser.add_argument("--size", type=int, default=224, help="image size of the costs printed")
    return parser.parse_args()


def read_config(name: str | None, options: dict | None) -> Config | None:
    if name is None:
        return None
    given = argparse.Namespace(config=name, cfg_options=options, work_dir=None)
    return launch.load_config(argparse.Namespace(**vars(given), launcher="none", local_rank=0))


@launch.one_line_errors
def main() -> None:
    args = parse_args()
    config = read_config(args.config, args.cfg_options)
    calibration = read_config(args.calibrate, args.cfg_options)
    found = read_best(args.best, args.rank) if args.best else None
    supernet = args.supernet or (found.checkpoint if found else None)
    if not supernet:
        raise UserError("which supernet? Give --supernet, a checkpoint or a work dir")
    space, norm_cfg = None, None
    if config or calibration:
        space, norm_cfg = read_space(config or calibration)
    if found and not config:
        space = found.space
    try:
        backbone = subnet_of(supernet, found.arch if found else args.arch, space, norm_cfg)
    except UserError as error:
        hint = "" if space else " (the paper's space was assumed: --config gives another)"
        raise UserError(f"{error}{hint}") from error
    batches = recompute_statistics(backbone, calibration, args.batches) if calibration else 0
    write_subnet(args.out, backbone, supernet, batches)
    print(f"architecture {backbone.arch}")
    cost = CostTable(backbone.space, args.size, in_channels=backbone.conv1[0].in_channels)
    print(f"backbone: {cost.cost(backbone.arch)} at {args.size} x {args.size}")
    if batches:
        print(f"batch-norm statistics: recomputed on {batches} batches")
    elif batch_norms(backbone):
        print(
            "batch-norm statistics: the supernet's, which mix all paths; recompute them "
            "(--calibrate CONFIG) or train the network before you use it"
        )
    print(args.out)


if __name__ == "__main__":
    main()
