#!/usr/bin/env python
"""Scores the architectures of a table by a supernet, and writes every score.

    PINAS_DATA=IMAGES python benchmarks/ranking/score.py CONFIG CHECKPOINT --table TABLE --out JSON

The score is that of the config's ``search``, with each architecture's batch norms recalibrated, and
(``:running``) with the supernet's running statistics, which mix all paths.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pinas_mm.commands.command import command
from pinas_mm.commands.options import RunParser, add_run_options, load_config
from pinas_mm.engine.run_search import evaluate
from pinas_mm.files import check_output, write_json
from pinas_mm.search.evaluation.scores import ArchScore


def parse_args() -> argparse.Namespace:
    parser = RunParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_options(parser)
    parser.add_argument("checkpoint", help="trained model, its work dir, or untrained")
    parser.add_argument("--table", required=True, help="JSON with rows, of which arch counts")
    parser.add_argument("--out", required=True, help="JSON: scores by name and architecture")
    return parser.parse_args()


@command
def main() -> None:
    args = parse_args()
    check_output(args.out)
    rows = json.loads(Path(args.table).read_text())["rows"]
    archs = list(dict.fromkeys(row["arch"] for row in rows))
    found = {}
    for ending, options in (("", {}), (":running", dict(calibration_batches=0))):
        cfg = load_config(args)
        cfg.search.update(options)
        evaluator, _, metrics = evaluate(cfg, args.checkpoint, archs)
        for name in metrics[0]:
            values = (metric[name] for metric in metrics)
            found[f"{name}{ending}"] = dict(zip(archs, values, strict=True))
        if isinstance(evaluator.score, ArchScore):
            break  # It recalibrates nothing.
    write_json(args.out, found)


if __name__ == "__main__":
    main()
