"""Was the search worth it? Its winner and random architectures of its cost, trained alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config

from pinas_mm.data.digits.fragments import SIDE
from pinas_mm.demo.jobs import Job, training
from pinas_mm.demo.scalars import validation_rows
from pinas_mm.demo.schedule import Work
from pinas_mm.model_index import REPOSITORY
from pinas_mm.models.cost import count_costs
from pinas_mm.search.report.figures.style import BEST, INK, POINT, heading, panels, styled
from pinas_mm.space import SearchSpace

CONFIG = "configs/demo/stand_alone.py"
KIND = "alone"
RANDOM = 16  # architectures drawn at random
NEAR = 0.1  # largest difference of their multiply-adds from the winner's, as a share of those


def works() -> list[Work]:
    """What :func:`trainings` will be, before the winner is known."""
    return [Work(KIND, Config.fromfile(REPOSITORY / CONFIG).train_cfg.max_epochs)] * (RANDOM + 1)


def trainings(folder: Path, seed: int) -> list[Job]:
    """Of a seed's winner and of the random ones, from scratch, all in the same way."""
    return [
        training(
            f"{arch} alone, seed {seed}",
            CONFIG,
            folder / "alone" / arch,
            seed,
            {"model.backbone.arch": arch},
            KIND,
        )
        for arch in (_winner(folder), *_of_its_cost(folder, seed))
    ]


def findings(folder: Path, seed: int) -> dict[str, Any]:
    """Top-1 in percent.

    Returns:
        ``winner``, and ``top1`` of it; ``random``, top-1 of the others by architecture, their
        ``mean``, and its standard ``error``.
    """
    winner, others = _winner(folder), _of_its_cost(folder, seed)
    found = {
        arch: validation_rows(folder / "alone" / arch)[-1]["accuracy/top1"]
        for arch in (winner, *others)
    }
    values = [found[arch] for arch in others]
    return dict(
        winner=winner,
        top1=found[winner],
        random={arch: found[arch] for arch in others},
        mean=statistics.fmean(values),
        error=statistics.stdev(values) / len(values) ** 0.5,
    )


def text(found: Mapping[str, dict[str, Any]]) -> str:
    """What the winners are worth, in words.

    Args:
        found: :func:`findings` of each seed, by it.
    """
    lines = [
        f"trained alone from scratch, seed {seed}: the winner, {one['winner']}, has top-1 "
        f"{one['top1']:.1f} %, {len(one['random'])} random architectures of its cost have "
        f"{one['mean']:.1f} % on average, standard error {one['error']:.1f}: it gains "
        f"{one['top1'] - one['mean']:.1f}"
        for seed, one in found.items()
    ]
    gains = [one["top1"] - one["mean"] for one in found.values()]
    if len(gains) > 1:
        error = statistics.stdev(gains) / len(gains) ** 0.5
        lines.append(f"winners gain {statistics.fmean(gains):.1f}, standard error {error:.1f}")
    return "\n".join(lines)


@styled
def draw(found: Mapping[str, dict[str, Any]], narrow: bool = False) -> Figure:
    """Winners and random architectures of their cost, a line a seed.

    Args:
        found: as for :func:`text`.
        narrow: whether the figure is for a telephone.
    """
    figure, (axis,) = panels(1, 0.5 * len(found) + (2.1 if narrow else 1.5), narrow)
    for place, one in enumerate(found.values()):
        others = list(one["random"].values())
        axis.errorbar(
            one["mean"], place, xerr=2 * one["error"], fmt="|", color=INK, ms=16, capsize=4
        )
        axis.plot(others, [place] * len(others), "o", color=POINT, alpha=0.75)
        axis.plot(one["top1"], place, "D", color=BEST, ms=9)
    axis.set_yticks(range(len(found)), [f"seed {seed}" for seed in found])
    axis.set(ylim=(-0.6, len(found) - 0.4), xlabel="top-1 alone, %")
    heading(
        axis,
        "What the search's winner is worth",
        "trained alone from scratch: the winner (orange), random architectures of its cost (blue), "
        "their mean and two standard errors",
    )
    axis.grid(axis="x")
    return figure


def _winner(folder: Path) -> str:
    return (folder / "search" / "best.txt").read_text().strip()


def _of_its_cost(folder: Path, seed: int) -> list[str]:
    """Random architectures whose multiply-adds are near the winner's, without it.

    Where few are as near as that, the nearest.
    """
    space = SearchSpace.build(Config.fromfile(REPOSITORY / CONFIG).model.backbone.space.to_dict())
    winner, everything = space.arch(_winner(folder)), space.everything()
    others = everything[(everything != np.array(winner)).any(axis=1)]
    cost = count_costs(space, SIDE)["macs"]
    away = np.abs(cost.of(others) / float(cost.of(np.array([winner]))[0]) - 1)
    near = others[away <= max(NEAR, np.sort(away)[RANDOM - 1])]
    drawn = np.random.default_rng(seed).permutation(near)[:RANDOM]
    return [str(space.arch(arch.tolist())) for arch in drawn]
