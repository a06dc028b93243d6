#!/usr/bin/env python
"""How good the best architecture is that samplers find within a number of evaluations.

    python benchmarks/search_efficiency.py --table nats_ss_cifar10.yml [--out FILE.json]
    python benchmarks/search_efficiency.py --table nats_ss_cifar10.yml --scores scores.csv
    python benchmarks/search_efficiency.py --made [--samplers PredictorSampler TPESampler]

The table has the accuracy of every architecture of a size space, ``8:64:16:8:8: 91.2``; the made
landscapes need no file and are what samplers and their defaults are tuned on. For each sampler the
median over seeds of the true rank of the best found (1 is the best of the space; where a space is
too large for ranks, its distance from the best in standard deviations of random architectures),
and the sampler's own seconds a run.

With ``--scores``, a table of a supernet's scores of the same architectures, samplers see these
alone, and what they find is told in true accuracies: see ``under_scores.py``.
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
from landscapes import FAMILIES, Landscape, read_table
from results import facts
from rich.console import Console
from rich.table import Table
from under_scores import ceilings, found, show

from pinas_mm.commands.command import command
from pinas_mm.errors import UserError
from pinas_mm.files import check_output, write_json
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


def run(
    sampler: str, landscape: Landscape, evaluations: int, seed: int
) -> tuple[np.ndarray, float]:
    """Architectures of a search in the order of evaluation, and the sampler's own seconds."""
    space = landscape.space
    study = optuna.create_study(
        direction="maximize", sampler=build_sampler(sampler, space, seed=seed)
    )
    space_distributions = distributions(space)
    archs, seconds = [], 0.0
    for _ in range(evaluations):
        start = time.process_time()
        trial = study.ask(space_distributions)
        seconds += time.process_time() - start
        archs.append([trial.params[name] for name in space_distributions])
        score = float(landscape.score(np.array(archs[-1:]))[0])
        start = time.process_time()
        study.tell(trial, score)
        seconds += time.process_time() - start
    return np.array(archs), seconds


def quality(landscape: Landscape, archs: np.ndarray, marks: list[int]) -> list[float]:
    """Rank of the best of the first so many, or its distance from the best of all."""
    scores = landscape.score(archs)
    best = [scores[:mark].max() for mark in marks]
    if not landscape.ranked:
        return [(landscape.best - value) / landscape.spread for value in best]
    everyone = landscape.score(landscape.space.everything())
    return [1 + int((everyone > value).sum()) for value in best]


def marks_of(args: argparse.Namespace) -> list[int]:
    """After how many evaluations to look."""
    return [*(mark for mark in MARKS if mark < args.evaluations), args.evaluations]


def compare(name: str, landscapes: list[Landscape], args: argparse.Namespace) -> dict:
    """Runs all samplers, each once a landscape, prints a table and returns its figures."""
    marks = marks_of(args)
    kind = "rank" if landscapes[0].ranked else "distance"
    table = Table(title=f"{name}: median {kind} of the best found, {args.seeds} seeds")
    table.add_column("sampler", no_wrap=True)
    for column in (*(f"after {mark}" for mark in marks), "s a run"):
        table.add_column(column, justify="right", overflow="fold")
    figures = {}
    for sampler in args.samplers:
        runs = [run(sampler, made, args.evaluations, s) for s, made in enumerate(landscapes)]
        reached = [quality(m, archs, marks) for m, (archs, _) in zip(landscapes, runs, strict=True)]
        medians = [float(m) for m in np.median(reached, axis=0)]
        seconds = statistics.median(seconds for _, seconds in runs)
        figures[sampler] = {
            kind: dict(zip(map(str, marks), medians, strict=True)),
            "means": [float(m) for m in np.mean(reached, axis=0)],
            "seconds": seconds,
        }
        table.add_row(sampler, *(f"{m:.3g}" for m in medians), f"{seconds:.1f}")
        print(f"{name}: {sampler} done", file=sys.stderr, flush=True)
    Console().print(table)
    return figures


def compare_under_scores(truth: Landscape, scores: Landscape, args: argparse.Namespace) -> dict:
    """Runs all samplers on the scores, prints a table and returns its figures."""
    figures = dict(seeds=args.seeds, **ceilings(truth, scores), samplers={})
    for sampler in args.samplers:
        runs = [run(sampler, scores, args.evaluations, seed) for seed in range(args.seeds)]
        after = {
            str(mark): found(truth, scores, [archs[:mark] for archs, _ in runs])
            for mark in marks_of(args)
        }
        seconds = statistics.median(seconds for _, seconds in runs)
        figures["samplers"][sampler] = dict(after=after, seconds=seconds)
        print(f"{sampler} done", file=sys.stderr, flush=True)
    Console().print(show(figures))
    return figures


def read_tables(args: argparse.Namespace) -> list[Landscape]:
    """The table and, if given, the scores of the same space.

    Raises:
        UserError: a file is no table of all of a space, or they are of two spaces.
    """
    tables = [read_table(path) for path in (args.table, args.scores) if path]
    spaces = [table.space for table in tables]
    if spaces[0] != spaces[-1]:
        raise UserError(
            f"{args.table} is of {spaces[0]}, {args.scores} of {spaces[-1]}: give two tables of "
            "one space"
        )
    size = len(spaces[0].everything())
    if args.evaluations > size:
        raise UserError(
            f"--evaluations is {args.evaluations}: {args.table} has {size} architectures"
        )
    return tables


@command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--table", help="file of all accuracies of a size space")
    source.add_argument("--made", nargs="*", help="made landscapes, all or those named so in part")
    parser.add_argument("--scores", help="file of a supernet's scores of the same, to search by")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument(
        "--samplers", nargs="+", default=SAMPLERS, help=f"ours and {', '.join(OPTUNA_SAMPLERS)}"
    )
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    if args.scores and not args.table:
        raise UserError("--scores needs --table, which says what is found by them is truly worth")
    for name in ("seeds", "evaluations"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name} is {getattr(args, name)}: at least 1 is allowed")
    if args.out:
        check_output(args.out)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if args.scores:
        figures = compare_under_scores(*read_tables(args), args)
    elif args.table:
        figures = {"table": compare("table", read_tables(args) * args.seeds, args)}
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
        write_json(args.out, facts(__file__) | dict(figures=figures))


if __name__ == "__main__":
    main()
