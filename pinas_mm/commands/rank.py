"""Says how well scores rank architectures, against the results of their training alone.

    python tools/rank.py alone.csv work_dirs/search
    python tools/rank.py alone.csv scores.csv --out ranking.json --picture ranking.png

A table is CSV with a header (arch, a metric, and where known seed, params, macs), or the same as
JSON or YAML: a list of rows, or a dict by architecture.
"""

from __future__ import annotations

import argparse

from pinas_mm import ending
from pinas_mm.commands.command import command
from pinas_mm.commands.options import add_cfg_options, refuse_empty
from pinas_mm.errors import UserError


def parse_args() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("truth", help="table of stand-alone results")
    parser.add_argument(
        "scores",
        nargs="?",
        help="another table, a search's work dir or database URL, or a supernet's checkpoint, "
        "its http(s) address or work dir, or 'untrained' for one without training (default: the "
        "table itself, of which --score names a column)",
    )
    parser.add_argument(
        "--metric",
        help="column of the truth, as loss:min where less is better (default: as the objective of "
        "this name says, of the search or of --config, else more is better)",
    )
    parser.add_argument("--score", help="column or metric of the scores, the same way")
    parser.add_argument(
        "--config",
        help="config of the search space; for a checkpoint, one with `search`, which scores",
    )
    add_cfg_options(parser)
    parser.add_argument("--work-dir", help="logs of scoring a checkpoint (default: work_dirs/rank)")
    parser.add_argument("--study-name", default="search", help="of a database URL")
    parser.add_argument(
        "--common", action="store_true", help="leave out architectures that one of two tables has"
    )
    parser.add_argument(
        "--size", type=int, default=224, help="image size of the costs of --config's space"
    )
    parser.add_argument("--top", type=int, nargs="+", metavar="K", help="of the top-k measures")
    parser.add_argument("--resamples", type=int, help="of the intervals; 0 for none")
    parser.add_argument("--seed", type=int, default=0, help="of the resamples")
    parser.add_argument("--out", metavar="FILE", help="all figures, as JSON")
    parser.add_argument("--picture", metavar="FILE", help="scatter picture, as PNG")
    return parser.parse_args()


def check_args(args: argparse.Namespace) -> None:
    """What can be refused before any work."""
    refuse_empty(args)
    if args.scores is None and args.score is None:
        raise UserError("which scores? Give a second table, a search or a checkpoint, or --score")
    for name, least in (("resamples", 0), ("seed", 0), ("size", 1)):
        given = getattr(args, name)
        if given is not None and given < least:
            raise UserError(f"--{name} is {given}: at least {least} is allowed")
    if args.top and min(args.top) < 1:
        raise UserError(f"--top is {min(args.top)}: at least 1 is allowed")


@command
def main() -> None:
    """Runs ``pinas-rank``."""
    args = parse_args()
    from pinas_mm.analysis.ranking import RESAMPLES, TOPS
    from pinas_mm.engine.config import read_config
    from pinas_mm.engine.run_rank import RankSettings, run_rank

    kept = "only files whose names stand above are there; the same command begins anew"
    with ending.interruptible(kept):
        check_args(args)
        cfg = read_config(args.config, args.cfg_options) if args.config else None
        if cfg is not None:
            cfg.work_dir, cfg.launcher = args.work_dir or "work_dirs/rank", "none"
        run_rank(
            RankSettings(
                truth=args.truth,
                scores=args.scores or args.truth,
                metric=args.metric,
                score=args.score,
                cfg=cfg,
                study=args.study_name,
                common=args.common,
                size=args.size,
                tops=args.top or TOPS,
                resamples=RESAMPLES if args.resamples is None else args.resamples,
                seed=args.seed,
                out=args.out,
                picture=args.picture,
            )
        )
