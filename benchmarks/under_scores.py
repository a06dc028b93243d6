"""What a search by a supernet's scores finds, in true accuracies.

Three things one may do with the architectures that a search has scored: take the top-scored one;
train the ten top-scored alone and take the best; or take one of these ten by chance. Of equal
scores the truly worse counts as the better scored, as in ``pinas_mm.analysis.ranking``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from landscapes import Landscape
from page import markdown
from rich.table import Table

TOP = 10
QUARTILES = (0.25, 0.5, 0.75)
# Random halves of a space, which tell what the few top-scored of all owe to luck.
HALVES = 300
PICKS = ("top 1", f"best of top {TOP}", f"mean of top {TOP}")


def pick(true: np.ndarray, scored: np.ndarray) -> tuple[float, float, float]:
    """True accuracy of the top-scored one, of the best of the ten top-scored, and their mean."""
    top = true[np.lexsort((true, -scored))[:TOP]]
    return top[0], top.max(), top.mean()


def found(truth: Landscape, scores: Landscape, runs: Sequence[np.ndarray]) -> dict[str, Any]:
    """What was found by searches.

    Args:
        truth, scores: of all architectures.
        runs: the architectures that each search, of one seed, has scored.

    Returns:
        By pick, mean and quartiles over the runs of the true accuracy, and quartiles of its rank, 1
        and the number of truly better ones; quartiles of the rank by score of the top-scored.
    """
    everyone, all_scores = _all(truth), _all(scores)
    picked = np.array([pick(truth.score(archs), scores.score(archs)) for archs in runs])
    by_score = [scores.score(archs).max() for archs in runs]
    made: dict[str, Any] = {
        name: dict(
            mean=float(accuracies.mean()),
            quartiles=_quartiles(accuracies),
            rank=_quartiles(ranks(accuracies, everyone)),
        )
        for name, accuracies in zip(PICKS, picked.T, strict=True)
    }
    return made | {"rank by score": _quartiles(ranks(by_score, all_scores))}


def compared(figures: Mapping[str, Any], after: Sequence[str] = ("50", "150")) -> str:
    """Medians of true accuracies, the top-scored and the best of the ten top-scored, as Markdown.

    Args:
        figures: that ``search_efficiency.py --scores`` has written.
        after: so many evaluations.
    """

    def cells(row: Mapping[str, Any]) -> list[str]:
        return [f"{row[name]['quartiles'][1]:.2f}" for name in PICKS[:2]]

    rows = [
        [name.removesuffix("Sampler"), *(c for n in after for c in cells(row["after"][n]))]
        for name, row in figures["samplers"].items()
    ]
    rows.append(["all are scored", *cells(figures["all scored"]) * len(after)])
    heads = [f"{pick}, after {number}" for number in after for pick in PICKS[:2]]
    return markdown(["sampler", *heads], rows)


def ceilings(truth: Landscape, scores: Landscape) -> dict[str, Any]:
    """What scoring all or random halves of it finds, what chance does, and the truly best."""
    everyone, archs = _all(truth), truth.space.everything()
    rng = np.random.default_rng(0)
    halves = [archs[rng.permutation(len(archs))[: len(archs) // 2]] for _ in range(HALVES)]
    return {
        "architectures": len(everyone),
        "best": float(everyone.max()),
        "all scored": found(truth, scores, [archs]),
        "half scored": found(truth, scores, halves),
        "without scores": {
            f"best of {number} random": best_of_random(everyone, number)
            for number in (1, TOP)
            if number <= len(everyone)
        },
    }


def best_of_random(everyone: np.ndarray, number: int) -> dict[str, Any]:
    """The best of so many different random ones, exactly: mean, quartiles, and their ranks."""
    values, total = np.sort(everyone), len(everyone)
    drawn = np.arange(number)
    # The chance that all drawn are among the i worst.
    below = np.prod(np.maximum(np.arange(1, total + 1)[:, None] - drawn, 0) / (total - drawn), 1)
    quartiles = values[np.searchsorted(below, QUARTILES)]
    return dict(
        mean=float(values @ np.diff(below, prepend=0)),
        quartiles=quartiles.tolist(),
        rank=ranks(quartiles, everyone)[::-1].astype(float).tolist(),
    )


def ranks(values: Sequence[float] | np.ndarray, everyone: np.ndarray) -> np.ndarray:
    """1 and the number of all that are more, for each value."""
    return 1 + len(everyone) - np.searchsorted(np.sort(everyone), values, side="right")


def show(figures: dict[str, Any]) -> Table:
    """The figures of a comparison: medians and, in brackets, quartiles."""
    table = Table(
        title=f"true accuracy and rank of {figures['architectures']} of what is found by score, "
        f"{figures['seeds']} seeds; the best has {figures['best']:.2f}"
    )
    table.add_column("search", no_wrap=True)
    for column in ("scored", "rank by score", *(c for name in PICKS for c in (name, "rank"))):
        table.add_column(column, justify="right", overflow="fold")

    def row(search: str, scored: object, content: dict[str, Any]) -> None:
        by_score = f"{content['rank by score'][1]:.0f}" if "rank by score" in content else ""
        cells = [part for name in PICKS for part in _cells(content.get(name))]
        table.add_row(search, str(scored), by_score, *cells)

    for sampler, figure in figures["samplers"].items():
        for mark, content in figure["after"].items():
            row(sampler, mark, content)
        table.add_section()
    row("all", figures["architectures"], figures["all scored"])
    row("a random half", figures["architectures"] // 2, figures["half scored"])
    row("random", 0, dict(zip(PICKS, figures["without scores"].values(), strict=False)))
    return table


def _cells(content: dict[str, Any] | None) -> tuple[str, str]:
    if content is None:
        return "", ""
    low, median, high = content["quartiles"]
    spread = "" if low == high else f" ({low:.2f}-{high:.2f})"
    return f"{median:.2f}{spread}", f"{content['rank'][1]:.0f}"


def _all(landscape: Landscape) -> np.ndarray:
    return landscape.score(landscape.space.everything())


def _quartiles(values: Sequence[float] | np.ndarray) -> list[float]:
    return np.quantile(values, QUARTILES).tolist()
