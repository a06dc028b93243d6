#!/usr/bin/env python
"""How good the best architecture is that samplers find within a number of evaluations.

    python benchmarks/search_efficiency.py --table nats_ss_cifar10.yml [--out FILE.json]
    python benchmarks/search_efficiency.py --made [--samplers PredictorSampler TPESampler]

The table has the score of every architecture of a size space, ``8:64:16:8:8: 91.2``; the made
landscapes need no file and are what samplers and their defaults are tuned on. For each sampler the
median over seeds of the true rank of the best found (1 is the best of the space; where a space is
too large for ranks, its distance from the best in standard deviations of random architectures),
and the sampler's own seconds a run.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

# One thread, so that seconds compare; threads do not help matrices this small.
os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import optuna
import yaml
from landscapes import FAMILIES, Landscape, widths_space
from rich.console import Console
from rich.table import Table

from pinas_mm.files import write_json
from pinas_mm.machine import machine
from pinas_mm.search.record.encoding import distributions
from pinas_mm.search.samplers import build_sampler
from pinas_mm.search.samplers.library import OPTUNA_SAMPLERS

SAMPLERS = [
    "RandomSampler",
    "LaNASSampler",
    "EvolutionSampler",
    "PredictorSampler",
    "TPESampler",
    "NSGAIISampler",
]
MARKS = (50, 100, 150, 200, 300)


def read_table(path: str) -> Landscape:
    """The landscape of a file of 8^5 accuracies."""
    # The pure Python loader takes half a minute for 32,768 lines.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    table = yaml.load(Path(path).read_text(), Loader=loader)
    space = widths_space(5)
    widths = [candidate.base_width for candidate in space.candidates]
    keys = (":".join(str(widths[choice]) for choice in arch) for arch in space.everything())
    values = np.array([float(table[key]) for key in keys])
    places = space.num_candidates ** np.arange(space.num_blocks)[::-1]
    return Landscape(space, lambda archs: values[np.asarray(archs) @ places], True)


def run(sampler: str, landscape: Landscape, evaluations: int, seed: int) -> tuple[list, float]:
    """Scores of a search in the order of evaluation, and the sampler's own seconds."""
    space = landscape.space
    study = optuna.create_study(
        direction="maximize", sampler=build_sampler(sampler, space, seed=seed)
    )
    space_distributions = distributions(space)
    scores, seconds = [], 0.0
    for _ in range(evaluations):
        start = time.process_time()
        trial = study.ask(space_distributions)
        seconds += time.process_time() - start
        arch = [trial.params[name] for name in space_distributions]
        scores.append(float(landscape.score(np.array([arch]))[0]))
        start = time.process_time()
        study.tell(trial, scores[-1])
        seconds += time.process_time() - start
    return scores, seconds


def quality(landscape: Landscape, scores: list[float], marks: list[int]) -> list[float]:
    """Rank of the best of the first so many scores, or its distance from the best of all."""
    best = [max(scores[:mark]) for mark in marks]
    if not landscape.ranked:
        return [(landscape.best - value) / landscape.spread for value in best]
    everyone = landscape.score(landscape.space.everything())
    return [1 + int((everyone > value).sum()) for value in best]


def compare(name: str, landscapes: list[Landscape], args: argparse.Namespace) -> dict:
    """Runs all samplers, each once a landscape, prints a table and returns its figures."""
    marks = [mark for mark in MARKS if mark <= args.evaluations]
    kind = "rank" if landscapes[0].ranked else "distance"
    table = Table(title=f"{name}: median {kind} of the best found, {args.seeds} seeds")
    table.add_column("sampler", no_wrap=True)
    for column in (*(f"after {mark}" for mark in marks), "s a run"):
        table.add_column(column, justify="right", overflow="fold")
    figures = {}
    for sampler in args.samplers:
        runs = [run(sampler, made, args.evaluations, s) for s, made in enumerate(landscapes)]
        found = [quality(m, scores, marks) for m, (scores, _) in zip(landscapes, runs, strict=True)]
        medians = [float(m) for m in np.median(found, axis=0)]
        seconds = statistics.median(seconds for _, seconds in runs)
        figures[sampler] = {
            kind: dict(zip(map(str, marks), medians, strict=True)),
            "means": [float(m) for m in np.mean(found, axis=0)],
            "seconds": seconds,
        }
        table.add_row(sampler, *(f"{m:.3g}" for m in medians), f"{seconds:.1f}")
        print(f"{name}: {sampler} done", file=sys.stderr, flush=True)
    Console().print(table)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--table", help="file of all accuracies of an 8^5 size space, YAML")
    source.add_argument("--made", nargs="*", help="made landscapes, all or those named so in part")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument(
        "--samplers", nargs="+", default=SAMPLERS, help=f"ours and {', '.join(OPTUNA_SAMPLERS)}"
    )
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if args.table:
        figures = {"table": compare("table", [read_table(args.table)] * args.seeds, args)}
    else:
        wanted = {
            name: make
            for name, make in FAMILIES.items()
            if not args.made or any(part in name for part in args.made)
        }
        figures = {
            name: compare(name, [make(seed) for seed in range(args.seeds)], args)
            for name, make in wanted.items()
        }
    if args.out:
        command = "benchmarks/search_efficiency.py " + " ".join(sys.argv[1:])
        write_json(args.out, dict(command=command, machine=machine(), figures=figures))


if __name__ == "__main__":
    main()
