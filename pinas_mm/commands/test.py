"""Tests a checkpoint with any config of pinas_mm, mmpretrain, mmdet or mmseg."""

from __future__ import annotations

import argparse

from pinas_mm import ending
from pinas_mm.commands.command import command
from pinas_mm.commands.options import RunParser, add_run_options, load_config


def parse_args() -> argparse.Namespace:
    """The options."""
    parser = RunParser(description=__doc__)
    add_run_options(parser)
    parser.add_argument("checkpoint", help="checkpoint file, or a work dir for its last one")
    parser.add_argument("--out", help="file for the metrics, as JSON")
    parser.add_argument("--show-dir", help="folder for pictures of the predictions")
    parser.add_argument(
        "--tta", action="store_true", help="test-time augmentation by the config's tta_pipeline"
    )
    return parser.parse_args()


@command
def main() -> None:
    """Runs ``pinas-test``."""
    args = parse_args()
    from pinas_mm.engine import launch
    from pinas_mm.export.targets import check_outputs, write_json

    with ending.interruptible("nothing was written; the same command begins anew"):
        cfg = load_config(args)
        cfg.load_from = args.checkpoint
        check_outputs([args.out], [cfg.filename, args.checkpoint])
        if args.tta:
            launch.use_tta(cfg)
        if args.show_dir:
            launch.use_show_dir(cfg, args.show_dir)
        metrics = launch.build_runner(cfg, splits=["test"]).test()
        if args.out:
            write_json(args.out, metrics)
