"""Searches a trained supernet for the best architectures; run again, it goes on where it was."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pinas_mm import ending
from pinas_mm.commands.command import command
from pinas_mm.commands.options import RunParser, add_run_options, load_config

SETTINGS: dict[str, dict[str, Any]] = {
    "trials": dict(type=int, help="architectures to evaluate in all"),
    "objectives": dict(nargs="+", help="metrics and costs, as accuracy/top1 or loss:min"),
    "constraints": dict(nargs="+", help="budgets, as 'macs<=5.3G' 'params<=27M' 'latency<=40ms'"),
    "sampler": dict(help="LaNASSampler, EvolutionSampler, PredictorSampler or one of Optuna's"),
    "storage": dict(help="database URL that other machines reach (default: WORK_DIR/search.db)"),
    "study": dict(metavar="NAME", help="name of the study in the storage"),
    "workers": dict(type=int, help="processes on this machine; they stop where this one is killed"),
    "keep_workers": dict(
        action="store_true",
        default=None,
        help="they go on, as do a launcher's, where the process that started them is killed",
    ),
    "seed": dict(type=int, help="of everything that is drawn"),
}


def parse_args() -> argparse.Namespace:
    """The options."""
    parser = RunParser(description=__doc__)
    add_run_options(parser)
    parser.add_argument(
        "checkpoint",
        help="trained model, or a work dir for its last checkpoint; 'untrained' for weights drawn "
        "by the seed, for scores that need no training",
    )
    for name, options in SETTINGS.items():
        flag = "--study-name" if name == "study" else f"--{name.replace('_', '-')}"
        parser.add_argument(flag, dest=f"search_{name}", **options)
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


@command
def main() -> None:
    """Runs ``pinas-search``."""
    args = parse_args()
    from pinas_mm.engine.run_search import run_search

    cfg = load_config(args)
    given = {name: getattr(args, f"search_{name}") for name in SETTINGS}
    given = {name: value for name, value in given.items() if value is not None}
    with ending.interruptible(f"what is finished is in {cfg.work_dir}; the same command goes on"):
        run_search(cfg, args.checkpoint, given, sys.argv, args.worker)
