"""Writes small data sets of real handwritten digits, on real photographs or with a fragment.

They have the folders, files and annotations of ImageNet, COCO, ADE20K and Cityscapes, so that
configs for those run on them as they are, and come from images inside scikit-learn: no download.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pinas_mm import ending
from pinas_mm.commands.command import command
from pinas_mm.commands.options import RunParser


def parse_args() -> argparse.Namespace:
    """The options."""
    parser = RunParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder that gets a folder for each layout")
    parser.add_argument(
        "--layouts",
        nargs="+",
        metavar="NAME",
        help="of imagenet, coco, ade20k, cityscapes and fragments; default: all",
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--contrast",
        type=float,
        default=0.15,
        help="factor on the photographs' contrast, 0 to 1 (unchanged); default: 0.15",
    )
    usual = "default: each layout's own, which is printed"
    parser.add_argument("--train", type=int, metavar="N", help=f"training images a layout; {usual}")
    parser.add_argument("--val", type=int, metavar="N", help=f"validation images a layout; {usual}")
    parser.add_argument(
        "--size",
        type=int,
        metavar="N",
        help=f"image height in pixels, at each layout's aspect; {usual}",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace sets made with other parameters"
    )
    return parser.parse_args()


@command
def main() -> None:
    """Runs ``pinas-prepare-digits``."""
    args = parse_args()
    from rich.progress import Progress

    from pinas_mm.data.digits import prepare
    from pinas_mm.data.digits.layouts import LAYOUTS

    names = args.layouts or list(LAYOUTS)
    kept = "the layout in work was removed, finished ones stay"
    with (
        ending.interruptible(kept),
        Progress(transient=True, disable=not sys.stdout.isatty()) as bar,
    ):
        tasks = {name: bar.add_task(name, visible=False) for name in names}
        reports = prepare(
            args.out,
            names,
            seed=args.seed,
            contrast=args.contrast,
            train=args.train,
            val=args.val,
            height=args.size,
            overwrite=args.overwrite,
            progress=lambda name, done, total: bar.update(
                tasks[name], completed=done, total=total, visible=True
            ),
        )
        for report in reports:
            bar.console.print(str(report), soft_wrap=True, highlight=False, markup=False)
