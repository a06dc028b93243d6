#!/usr/bin/env python
"""Evaluates architectures together and one by one, in one run, on this machine.

    python benchmarks/evaluation.py [--out FILE.json] [--archs 64]

A supernet of 16 blocks and four candidates, as the default space has, on images of 32 pixels: what
64 architectures cost in block evaluations and in seconds when what they share is computed once, and
the same for each by itself. Bred ones are the population that evolution ends with on a made
landscape (medians over seeds of the counts), random ones are drawn uniformly.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in (".", "tests")]

import numpy as np
import torch
from breeding import bred
from evaluations import batches, classifier
from rich.console import Console
from rich.table import Table

from pinas_mm.files import write_json
from pinas_mm.machine import machine
from pinas_mm.search.evaluation.evaluator import Evaluator
from pinas_mm.search.evaluation.prefixes import PrefixTree
from pinas_mm.search.evaluation.scores import ProbeScore
from pinas_mm.space import Arch, SearchSpace

SEEDS = range(10)


def small_space() -> SearchSpace:
    """The default depths and number of candidates on narrow stages."""
    candidates = [(1, 1, 64), (2, 1, 64), (1, 2, 48), (2, 2, 32)]
    return SearchSpace(
        candidates=candidates, widths=(16, 16, 16, 16), expansion=1, stem_widths=(8, 8, 8)
    )


def share(archs: Sequence[Arch]) -> float:
    """Block evaluations of a walk over the architectures' prefixes, in percent of one by one."""
    return 100 * PrefixTree(archs).num_blocks / sum(map(len, archs))


def seconds(space: SearchSpace, archs: Sequence[Arch]) -> dict[str, float]:
    """Seconds together and one by one, and their ratio; both give the same metrics."""
    evaluator = Evaluator(
        classifier(space), ProbeScore(), batches(64, 64, side=32), batches(64, 64, seed=1, side=32)
    )
    evaluator.evaluate(archs[:2])
    start = time.perf_counter()
    together = evaluator.evaluate(archs)
    middle = time.perf_counter()
    alone = [evaluator.evaluate([arch])[0] for arch in archs]
    end = time.perf_counter()
    if together != alone:
        raise AssertionError("metrics differ between together and alone")
    return dict(
        together=middle - start, alone=end - middle, ratio=(end - middle) / (middle - start)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--archs", type=int, default=64)
    parser.add_argument("--out", help="JSON file for the numbers")
    args = parser.parse_args()
    torch.set_num_threads(1)
    space = small_space()
    rows = {}
    for name, draw in (
        ("bred by evolution", lambda seed: bred(space, args.archs, seed)),
        ("random", lambda seed: space.sample(args.archs, np.random.default_rng(seed))),
    ):
        shares = [share(draw(seed)) for seed in SEEDS]
        rows[name] = dict(
            blocks=statistics.median(shares), least=min(shares), most=max(shares)
        ) | seconds(space, draw(0))
    table = Table("architectures", "blocks, % of one by one", "together", "one by one", "faster")
    table.title = f"{args.archs} architectures"
    for name, row in rows.items():
        table.add_row(
            name,
            f"{row['blocks']:.0f} ({row['least']:.0f}-{row['most']:.0f})",
            f"{row['together']:.1f} s",
            f"{row['alone']:.1f} s",
            f"{row['ratio']:.2f} x",
        )
    Console().print(table)
    if args.out:
        write_json(args.out, dict(machine=machine(), archs=args.archs, rows=rows))


if __name__ == "__main__":
    main()
