"""Measures feature and parameter shift of a trained supernet, block by block.

On images of the training set; what the measures mean, and their ranges, is in
pinas_mm/analysis/shift.py.
"""

from __future__ import annotations

import argparse

from pinas_mm import ending
from pinas_mm.commands.command import command
from pinas_mm.commands.options import RunParser, add_run_options, load_config


def parse_args() -> argparse.Namespace:
    """The options."""
    parser = RunParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_options(parser)
    parser.add_argument("checkpoint", help="trained model, or a work dir for its last checkpoint")
    parser.add_argument("--images", type=int, default=64, help="of the training set (default: 64)")
    parser.add_argument(
        "--pairs", type=int, default=8, help="of paths, compared at each block (default: 8)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of images, views and paths")
    parser.add_argument("--out", metavar="JSON", help="file for the numbers")
    parser.add_argument("--figure", metavar="PNG", help="file for a figure by depth")
    return parser.parse_args()


@command
def main() -> None:
    """Runs ``pinas-measure-shift``."""
    args = parse_args()
    from rich.console import Console

    from pinas_mm.engine.run_measure_shift import measure_checkpoint, shift_table
    from pinas_mm.export.targets import check_outputs, write_json
    from pinas_mm.files import write_output
    from pinas_mm.search.report.figures import draw_shifts, to_png

    with ending.interruptible("nothing was written; the same command begins anew"):
        cfg = load_config(args)
        check_outputs([args.out, args.figure], [cfg.filename, args.checkpoint])
        settings = dict(images=args.images, pairs=args.pairs, seed=args.seed)
        shifts = measure_checkpoint(cfg, args.checkpoint, **settings)
        Console().print(shift_table(shifts))
        if args.out:
            source = dict(config=args.config, checkpoint=str(args.checkpoint))
            write_json(args.out, {**source, **settings, **shifts.to_dict()})
        if args.figure:
            write_output(args.figure, to_png(draw_shifts(shifts)))
