"""Converts a published Pi-NAS checkpoint to one that the models here load.

It is recognized by its keys: a whole self-supervised training checkpoint, a supernet's backbone, a
stand-alone ImageNet classifier, DeepLabV3, or the COCO Mask R-CNN under detectron2's names.
"""

from __future__ import annotations

import argparse

from pinas_mm import ending
from pinas_mm.commands.command import command
from pinas_mm.commands.options import refuse_empty


def parse_args() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("src", help="the published checkpoint, or its http(s) address")
    parser.add_argument("dst", help="the file to write")
    parser.add_argument("--force", action="store_true", help="overwrite DST")
    parser.add_argument(
        "--avd-first",
        action="store_true",
        help="blocks pool before their 3x3 convolution, as in ResNeSt's fast variants, whose "
        "weights look like the others'",
    )
    return parser.parse_args()


@command
def main() -> None:
    """Runs ``pinas-convert``."""
    args = parse_args()
    from pinas_mm.convert import convert_file

    with ending.interruptible("nothing was written; the same command begins anew"):
        refuse_empty(args)
        converted = convert_file(args.src, args.dst, args.force, args.avd_first)
        print(f"{args.dst}: {converted}")
