"""The table: architectures spread over cost, each trained alone from scratch in several seeds."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import logging
import multiprocessing
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from alone import Recipe, train_alone
from images import Images
from rich.progress import track

from pinas_mm.data.digits.fragments import SIDE
from pinas_mm.errors import UserError
from pinas_mm.files import write_json
from pinas_mm.machine import usable_cores
from pinas_mm.models.cost import count_costs
from pinas_mm.space import Arch, SearchSpace


def spread_over_cost(space: SearchSpace, number: int, seed: int = 0) -> list[Arch]:
    """Architectures whose multiply-adds lie evenly between the cheapest's and the dearest's.

    In random order, so that the first of them are spread evenly too.

    Args:
        space: small enough to list.
        number: how many; one is drawn from each of so many equal intervals of cost, and for each
            interval without architectures one from any other.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    everything = rng.permutation(space.everything())
    costs = count_costs(space, SIDE)["macs"].of(everything)
    edges = np.linspace(costs.min(), costs.max(), number + 1)
    intervals = np.clip(np.searchsorted(edges, costs, side="right") - 1, 0, number - 1)
    _, first = np.unique(intervals, return_index=True)
    others = np.setdiff1d(np.arange(len(everything)), first)
    chosen = np.concatenate([first, rng.permutation(others)[: number - len(first)]])
    return [Arch(everything[index], space.depths) for index in rng.permutation(chosen)]


def spread_over_accuracy(
    space: SearchSpace, rows: Sequence[Mapping[str, Any]], number: int
) -> list[Arch]:
    """Architectures of a table, evenly from its worst to its best.

    Args:
        space: of the architectures.
        rows: of the table, one an architecture and seed.
        number: how many, at most as many as there are.
    """
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row["arch"], []).append(row["accuracy"])
    ranked = sorted(found, key=lambda arch: statistics.fmean(found[arch]))
    places = np.linspace(0, len(ranked) - 1, number).round().astype(int)
    return [space.arch(ranked[place]) for place in places]


@dataclasses.dataclass(frozen=True)
class Table:
    """Stand-alone results and how they are made.

    Attributes:
        space: of the architectures.
        archs: which; each is a file of ``folder`` once it is trained, so that a run goes on.
        seeds: each architecture is trained in all of them.
        recipe: how.
        images: folder of the images.
        folder: where results go.
    """

    space: SearchSpace
    archs: Sequence[Arch]
    seeds: Sequence[int]
    recipe: Recipe
    images: Path
    folder: Path

    def make(self) -> dict[str, Any]:
        """Trains what is not there yet, one architecture a core.

        Returns:
            ``rows``, one an architecture and seed; ``core_hours`` that all of it took.

        Raises:
            UserError: what is there was trained in other seeds or by another recipe.
        """
        missing = [arch for arch in self.archs if self._found(arch) is None]
        if missing:
            context = multiprocessing.get_context("spawn")
            with concurrent.futures.ProcessPoolExecutor(usable_cores(), context) as pool:
                futures = [pool.submit(_train, self, arch) for arch in missing]
                try:
                    done = concurrent.futures.as_completed(futures)
                    for future in track(done, "trained alone", len(futures)):
                        future.result()
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        costs = count_costs(self.space, SIDE)
        rows, seconds = [], 0.0
        for arch in self.archs:
            cost, found = costs.cost(arch), self._found(arch)
            seconds += found["seconds"]
            for seed, accuracy in zip(self.seeds, found["accuracy"], strict=True):
                row = dict(arch=str(arch), seed=seed, accuracy=round(accuracy, 4))
                rows.append(row | dict(params=cost.params, macs=cost.macs))
        return dict(rows=rows, core_hours=round(seconds / 3600, 2))

    def train(self, arch: Arch) -> None:
        """Trains an architecture and writes its file."""
        start = time.perf_counter()
        images = Images(self.images)
        accuracy = train_alone(self.space, arch, self.seeds, images, self.recipe)
        seconds = round(time.perf_counter() - start, 1)
        content = dict(arch=str(arch), accuracy=accuracy, seconds=seconds)
        write_json(self._file(arch), content | self._how())

    def _file(self, arch: Arch) -> Path:
        return self.folder / f"{arch}.json"

    def _how(self) -> dict[str, Any]:
        """What results depend on, as JSON has it."""
        how = dict(seeds=list(self.seeds), recipe=dataclasses.asdict(self.recipe))
        return json.loads(json.dumps(how))

    def _found(self, arch: Arch) -> dict[str, Any] | None:
        file, how = self._file(arch), self._how()
        if not file.is_file():
            return None
        found = json.loads(file.read_text())
        if {key: found.get(key) for key in how} != how:
            raise UserError(
                f"{file} was trained in other seeds or by another recipe: take another --work-dir"
            )
        return found


def _train(table: Table, arch: Arch) -> None:
    # One core each; what mmengine says of every initialized weight is nothing to read here.
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    table.train(arch)
