#!/usr/bin/env python
"""Converts a published Pi-NAS checkpoint to one that the models here load.

It is recognized by its keys: a whole self-supervised training checkpoint, a supernet's backbone, a
stand-alone ImageNet classifier, DeepLabV3, or the COCO Mask R-CNN under detectron2's names.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pinas_mm import ending

ending.while_loading()

from pinas_mm.convert import convert_file
from pinas_mm.engine.config import refuse_empty
from pinas_mm.engine.faults import one_line_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("src", help="the published checkpoint")
    parser.add_argument("dst", help="the file to write")
    parser.add_argument("--force", action="store_true", help="overwrite DST")
    parser.add_argument(
        "--avd-first",
        action="store_true",
        help="blocks pool before their 3x3 convolution, as in ResNeSt's fast variants, whose "
        "weights look like the others'",
    )
    return parser.parse_args()


@one_line_errors
@ending.interruptible("nothing was written; the same command begins anew")
def main() -> None:
    args = parse_args()
    refuse_empty(args)
    converted = convert_file(args.src, args.dst, args.force, args.avd_first)
    print(f"{args.dst}: {converted}")


if __name__ == "__main__":
    main()
