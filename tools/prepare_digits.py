"""Writes small data sets of real handwritten digits, on real photographs or with a fragment.

They have the folders, files and annotations of ImageNet, COCO, ADE20K and Cityscapes, so that
configs for those run on them as they are, and come from images inside scikit-learn: no download.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from rich.progress import Progress

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pinas_mm.data.digits import prepare
from pinas_mm.data.digits.layouts import LAYOUTS
from pinas_mm.errors import UserError


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Prints the message and exits with status 2."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def build_parser() -> Parser:
    """The command line."""
    defaults = "; ".join(
        f"{name}: {layout.train} + {layout.val} images of {layout.height}"
        for name, layout in LAYOUTS.items()
    )
    parser = Parser(
        description=__doc__,
        epilog=f"Defaults (train + val images, height): {defaults}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="folder that gets a folder for each layout")
    parser.add_argument(
        "--layouts", nargs="+", choices=list(LAYOUTS), default=list(LAYOUTS), help="default: all"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument(
        "--contrast",
        type=float,
        default=0.15,
        help="factor on the photographs' contrast, 0 to 1 (unchanged); default: 0.15",
    )
    parser.add_argument("--train", type=int, metavar="N", help="training images a layout")
    parser.add_argument("--val", type=int, metavar="N", help="validation images a layout")
    parser.add_argument(
        "--size", type=int, metavar="N", help="image height in pixels; each layout keeps its aspect"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace sets made with other parameters"
    )
    return parser


def main() -> None:
    """Runs the tool."""
    parser = build_parser()
    args = parser.parse_args()
    try:
        with Progress(transient=True, disable=not sys.stdout.isatty()) as bar:
            tasks = {name: bar.add_task(name, visible=False) for name in args.layouts}
            reports = prepare(
                args.out,
                args.layouts,
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
    except UserError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        parser.exit(130, "interrupted: the layout in work was removed, finished ones stay\n")


if __name__ == "__main__":
    main()
