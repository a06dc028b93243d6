#!/usr/bin/env python
"""Times a step, and what it holds, against candidates, blocks, images and more; an evaluation too.

    python benchmarks/growth.py [--out FILE.json] [--quantities candidates blocks ...]
        [--points 5] [--rounds 10] [--threads 1]

A step of Pi-NAS with one path, on a small supernet, with one quantity changed at a time. Those of
one row take turns, each in a process of its own, whose memory at most is told. The candidates are
all the same operation, so that a path costs the same however many there are; what then grows is
what walks all of them. The exponent is the slope of a line through the logarithms of the minima: 0
is no growth, 1 is in proportion.

An evaluation scores so many architectures of a space of 16 blocks, with statistics of their own:
those that evolution ends with on a made landscape, whose prefixes are shared, or random ones.
"""

import argparse
import functools
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

import numpy as np
from breeding import bred
from evaluations import batches, classifier
from mmengine.config import Config
from results import exponent, facts
from rich.console import Console
from rich.table import Table
from train_step import FILES, Ours
from turns import Turns

from pinas_mm.files import write_json
from pinas_mm.search.evaluation.evaluator import Evaluator
from pinas_mm.search.evaluation.scores import ProbeScore
from pinas_mm.space import SearchSpace

# What is changed, from the smallest on.
POINTS = {
    "candidates": [1, 2, 4, 8, 16],
    "blocks": [4, 8, 16, 32, 64],
    "batch": [4, 8, 16, 32, 64],
    "pixels": [16, 24, 32, 48, 64],
    "queue": [1024, 4096, 16384, 65536, 262144],
    "bred": [16, 32, 64, 128, 256],
    "random": [16, 32, 64, 128, 256],
}
USUAL = dict(candidates=4, blocks=8, batch=16, pixels=32, queue=1024)


def step(candidates: int, blocks: int, batch: int, pixels: int, queue: int) -> Callable[[], None]:
    """A training step, ready to be run."""
    config = Config.fromfile(FILES["small"])
    config.model.backbone.space.update(
        candidates=[(2, 1, 64)] * candidates, depths=(blocks // 4,) * 4
    )
    config.model.data_preprocessor.augment.size = pixels
    config.model.head.pair.queue_size = queue
    # One candidate leaves two paths nothing to differ in.
    config.model.paths = dict(type="pinas_mm.UniformPaths")
    config.model.data_preprocessor.num_views = 2
    config.model.head.cross = False
    return Ours(config, pixels, batch, "float32")


def evaluation(archs: str, number: int) -> Callable[[], None]:
    """An evaluation of ``bred`` or ``random`` architectures, ready to be run."""
    space = SearchSpace(widths=(16, 16, 32, 32), expansion=2, stem_widths=(8, 8, 16))
    if archs == "bred":
        chosen = bred(space, number)
    else:
        chosen = list(space.sample(number, np.random.default_rng(0)))
    images = dict(calibration=batches(16, side=64), images=batches(16, seed=1, side=64))
    evaluator = Evaluator(classifier(space), ProbeScore(), **images)
    return functools.partial(evaluator.evaluate, chosen)


def measure(quantity: str, sizes: list[int], rounds: int, threads: int) -> dict:
    """Seconds and memory of each size, in turns, and how the seconds grow."""
    made = (
        {str(size): functools.partial(step, **(USUAL | {quantity: size})) for size in sizes}
        if quantity in USUAL
        else {str(size): functools.partial(evaluation, quantity, size) for size in sizes}
    )
    with Turns(made, threads) as turns:
        found, held = turns.seconds(rounds), turns.memory()
    seconds = [dict(min=min(each), median=statistics.median(each)) for each in found.values()]
    return dict(
        sizes=sizes,
        seconds=seconds,
        peak_bytes=list(held.values()),
        exponent=exponent(sizes, [row["min"] for row in seconds]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quantities", nargs="+", choices=POINTS, default=list(POINTS))
    parser.add_argument("--points", type=int, default=5, help="how many of each, the smallest")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    rows = {}
    columns = "quantity", "exponent", "milliseconds (minima)", "MiB at most"
    table = Table(*columns, title="growth")
    for quantity in args.quantities:
        sizes = POINTS[quantity][: args.points]
        rows[quantity] = row = measure(quantity, sizes, args.rounds, args.threads)
        times = (f"{1e3 * seconds['min']:.1f}" for seconds in row["seconds"])
        held = (f"{held / 2**20:.0f}" for held in row["peak_bytes"])
        cells = (
            ", ".join(f"{size}: {value}" for size, value in zip(sizes, values, strict=True))
            for values in (times, held)
        )
        fitted = "" if row["exponent"] is None else f"{row['exponent']:.3f}"
        table.add_row(quantity, fitted, *cells)
    Console().print(table)
    if args.out:
        write_json(args.out, facts(__file__) | dict(rounds=args.rounds, usual=USUAL, rows=rows))


if __name__ == "__main__":
    main()
