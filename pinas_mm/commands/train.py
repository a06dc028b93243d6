"""Trains any config of pinas_mm, mmpretrain, mmdet or mmseg."""

from __future__ import annotations

import argparse

from pinas_mm import ending
from pinas_mm.commands.command import command
from pinas_mm.commands.options import RunParser, add_run_options, load_config


def parse_args() -> argparse.Namespace:
    """The options."""
    parser = RunParser(description=__doc__)
    add_run_options(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        help="go on from a checkpoint; without a value, from the last good one in the work dir",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision")
    parser.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the learning rate with the batch size"
    )
    parser.add_argument("--no-validate", action="store_true", help="skip validation")
    return parser.parse_args()


@command
def main() -> None:
    """Runs ``pinas-train``."""
    args = parse_args()
    from pinas_mm.engine import launch

    with ending.interruptible(launch.what_training_keeps):
        cfg = load_config(args)
        if args.amp:
            launch.use_amp(cfg)
        if args.auto_scale_lr:
            launch.use_auto_scale_lr(cfg)
        if args.resume:
            launch.use_resume(cfg, args.resume)
        if args.no_validate:
            cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        launch.build_runner(cfg).train()
