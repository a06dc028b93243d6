#!/usr/bin/env python
"""How the cost of a trial grows with the trials of a search, and its rate with the workers.

    python benchmarks/growth_search.py [--out FILE.json]
    python benchmarks/growth_search.py --samplers EvolutionSampler --trials 100 1000 --workers 1 4

On a made landscape of 4^16, whose evaluation costs nothing: what sampler and record take for a
trial (to propose, claim and finish it) in a record that has so many already, by wall clock and in
seconds of the processor, minimum and median of the rounds, and the exponent of a power law fitted
to the medians. A round that fits a model anew is one of them; with few rounds it may be missing.

Then processes that share one record, each of whose evaluations sleeps: the trials they finish in a
second, and what share of the number of workers times one worker's rate that is.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

# One thread, so that seconds compare; threads do not help matrices this small.
os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from landscapes import Landscape, chain
from optuna.distributions import distribution_to_json
from optuna.storages._rdb.models import (
    TrialModel,
    TrialParamModel,
    TrialUserAttributeModel,
    TrialValueModel,
)
from optuna.trial import TrialState
from results import exponent, facts
from rich.console import Console
from rich.table import Table

from pinas_mm.commands.command import command
from pinas_mm.errors import UserError
from pinas_mm.files import check_output, write_json
from pinas_mm.machine import load
from pinas_mm.models.cost import count_costs
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.objective import parse_objectives
from pinas_mm.search.record.encoding import distributions
from pinas_mm.search.record.record import Record
from pinas_mm.search.samplers import build_sampler
from pinas_mm.search.worker import work
from pinas_mm.space import Arch

OBJECTIVES = ("score", "macs:min")
SAMPLERS = ["RandomSampler", "EvolutionSampler", "LaNASSampler", "PredictorSampler"]


def open_record(
    path: Path, landscape: Landscape, sampler: str, objectives: int, trials: int
) -> Record:
    """A record on the landscape, whose second objective is the architectures' cost."""
    budget = Budget(landscape.space, list(count_costs(landscape.space, 32).costs.values()))
    wanted = parse_objectives(list(OBJECTIVES[:objectives]))
    built = build_sampler(sampler, landscape.space, budget, wanted)
    return Record(path, "search", wanted, budget, built, {"landscape": "chain"}, trials)


def fill(record: Record, landscape: Landscape, number: int, seed: int = 0) -> None:
    """Writes so many finished trials of random architectures, in a few statements."""
    space, now = landscape.space, datetime.now()
    archs = record.budget.sample(number, np.random.default_rng(seed))
    scores, costs = landscape.score(np.array(archs)), record.budget.costs(np.array(archs))
    known = {name: distribution_to_json(kind) for name, kind in distributions(space).items()}
    trials, params, values, attributes = [], [], [], []
    for index, arch in enumerate(archs):
        of, own = dict(trial_id=index + 1), {name: float(c[index]) for name, c in costs.items()}
        metrics = dict(score=float(scores[index]))
        times = dict(datetime_start=now, datetime_complete=now)
        trials.append(of | dict(number=index, study_id=1, state=TrialState.COMPLETE, **times))
        params += [
            of | dict(param_name=name, param_value=choice, distribution_json=text)
            for choice, (name, text) in zip(arch, known.items(), strict=True)
        ]
        for objective, wanted in enumerate(record.objectives):
            value = {**own, **metrics}[wanted.name]
            kind = TrialValueModel.TrialValueType.FINITE
            values.append(of | dict(objective=objective, value=value, value_type=kind))
        for key, content in dict(arch=str(arch), metrics=metrics, costs=own).items():
            attributes.append(of | dict(key=key, value_json=json.dumps(content)))
    with record._storage.engine.begin() as connection:
        connection.execute(TrialModel.__table__.insert(), trials)
        connection.execute(TrialParamModel.__table__.insert(), params)
        connection.execute(TrialValueModel.__table__.insert(), values)
        connection.execute(TrialUserAttributeModel.__table__.insert(), attributes)


def time_trial(record: Record, landscape: Landscape) -> tuple[float, float]:
    """Claims and finishes a trial: seconds by wall clock, and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    (claim,) = record.claim(1)
    paused = time.perf_counter(), time.process_time()
    score = float(landscape.score(np.array([claim.arch]))[0])
    wall += time.perf_counter() - paused[0]
    processor += time.process_time() - paused[1]
    record.finish(claim, dict(score=score))
    return time.perf_counter() - wall, time.process_time() - processor


def against_trials(args: argparse.Namespace, landscape: Landscape) -> list[dict]:
    """One row for each sampler and number of objectives."""
    rows = []
    for sampler in args.samplers:
        for objectives in args.objectives:
            after = {}
            for number in args.trials:
                with tempfile.TemporaryDirectory() as folder:
                    settings = landscape, sampler, objectives, number + args.rounds + 1
                    record = open_record(Path(folder) / "search.db", *settings)
                    fill(record, landscape, number)
                    # The first reads all, and fits what a running search has fitted before.
                    time_trial(record, landscape)
                    wall, processor = zip(
                        *(time_trial(record, landscape) for _ in range(args.rounds)), strict=True
                    )
                after[str(number)] = dict(
                    wall=dict(min=min(wall), median=statistics.median(wall)),
                    processor=dict(min=min(processor), median=statistics.median(processor)),
                )
                name = f"{sampler}, {objectives} objectives, {number} trials"
                print(f"{name} done", file=sys.stderr, flush=True)
            medians = [after[str(number)]["processor"]["median"] for number in args.trials]
            row = dict(sampler=sampler, objectives=objectives, after=after)
            rows.append(row | dict(exponent=exponent(args.trials, medians)))
    return rows


class Sleeping:
    """Scores by the landscape, and takes its time."""

    def __init__(self, landscape: Landscape, seconds: float) -> None:
        self._landscape, self._seconds = landscape, seconds

    def evaluate(
        self, archs: Sequence[Arch], on_batch: Any = None, progress: Any = None
    ) -> list[dict[str, float]]:
        """The scores, after the seconds of each."""
        time.sleep(self._seconds * len(archs))
        return [dict(score=float(score)) for score in self._landscape.score(np.array(archs))]


def run_worker(path: Path, trials: int, args: argparse.Namespace, start: Barrier) -> None:
    """One of the processes that share a record."""
    landscape = chain(0.6, 0)
    record = open_record(path, landscape, args.shared_by, 1, trials)
    start.wait()
    work(record, Sleeping(landscape, args.seconds), batch=1)


def rate(workers: int, args: argparse.Namespace, landscape: Landscape) -> float:
    """Trials a second that so many processes finish, from their start to the last trial's end."""
    trials = workers * args.each
    # Forked, so that they have loaded their libraries.
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "search.db"
        open_record(path, landscape, args.shared_by, 1, trials)
        start = context.Barrier(workers + 1)
        processes = [
            context.Process(target=run_worker, args=(path, trials, args, start))
            for _ in range(workers)
        ]
        for process in processes:
            process.start()
        start.wait()
        began = datetime.now()
        for process in processes:
            process.join()
        record = open_record(path, landscape, args.shared_by, 1, trials)
        archs = {e.arch for e in record.findings().evaluated}
        if len(archs) != trials:
            raise AssertionError(f"{len(archs)} architectures of {trials} trials")
        last = max(trial.datetime_complete for trial in record.study.get_trials(deepcopy=False))
    return trials / (last - began).total_seconds()


def against_workers(args: argparse.Namespace, landscape: Landscape) -> list[dict]:
    """One row for each number of workers, in turns: rates and how many times one worker's."""
    rates = [[rate(number, args, landscape) for number in args.workers] for _ in range(args.turns)]
    rows = []
    for number, of_number in zip(args.workers, zip(*rates, strict=True), strict=True):
        times = [
            own / turn[0] * args.workers[0] for own, turn in zip(of_number, rates, strict=True)
        ]
        middle = dict(rate=statistics.median(of_number), times=statistics.median(times))
        rows.append(dict(workers=number, least=min(times), **middle))
    return rows


def show(rows: list[dict], shared: list[dict], args: argparse.Namespace) -> None:
    """Prints both tables."""
    title = f"milliseconds of the processor a trial (wall clock), median of {args.rounds}"
    table = Table("sampler", "objectives", *map("after {:,}".format, args.trials), title=title)
    table.add_column("exponent")
    for row in rows:
        cells = [
            f"{1e3 * after['processor']['median']:.1f} ({1e3 * after['wall']['median']:.0f})"
            for after in row["after"].values()
        ]
        fitted = "" if row["exponent"] is None else f"{row['exponent']:.2f}"
        table.add_row(row["sampler"], str(row["objectives"]), *cells, fitted)
    Console().print(table)
    table = Table("workers", "trials a second", "times one worker's", "least")
    table.title = f"{args.shared_by}, evaluations of {args.seconds:g} s, median of {args.turns}"
    for row in shared:
        cells = f"{row['rate']:.2f}", f"{row['times']:.1f}", f"{row['least']:.1f}"
        table.add_row(str(row["workers"]), *cells)
    Console().print(table)


@command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS)
    parser.add_argument("--objectives", nargs="+", type=int, default=[1, 2], choices=[1, 2])
    parser.add_argument("--trials", nargs="+", type=int, default=[100, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=20, help="trials that are timed at each size")
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 2, 4, 8, 16])
    parser.add_argument("--shared-by", default="EvolutionSampler", help="the workers' sampler")
    parser.add_argument("--seconds", type=float, default=1.0, help="that an evaluation sleeps")
    parser.add_argument("--each", type=int, default=12, help="evaluations a worker")
    parser.add_argument("--turns", type=int, default=3, help="of all numbers of workers")
    parser.add_argument("--out", help="JSON file for the figures")
    args = parser.parse_args()
    for name in ("rounds", "each", "turns"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name} is {getattr(args, name)}: at least 1 is allowed")
    for name in ("trials", "workers"):
        if any(number < 1 for number in getattr(args, name)):
            raise UserError(f"--{name} is {getattr(args, name)}: at least 1 each is allowed")
    if args.out:
        check_output(args.out)
    landscape, busy = chain(0.6, 0), load()
    rows = against_trials(args, landscape)
    shared = against_workers(args, landscape)
    show(rows, shared, args)
    if args.out:
        figures = dict(trials=rows, workers=shared, load_before=busy)
        write_json(args.out, facts(__file__) | dict(figures=figures))


if __name__ == "__main__":
    main()
