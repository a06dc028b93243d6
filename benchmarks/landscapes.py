"""Landscapes to search: made ones, to tune samplers on, and tables that people trained."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Sequence

import numpy as np

from pinas_mm.analysis.results import read_results
from pinas_mm.errors import UserError
from pinas_mm.space import PAPER_CANDIDATES, SearchSpace

WIDTH = re.compile("[1-9][0-9]*")


@dataclasses.dataclass(frozen=True)
class Landscape:
    """Scores of all architectures of a space, more is better.

    Attributes:
        space: the search space.
        score: candidate indices (n, blocks) to (n,).
        ranked: whether the space is small enough to know each architecture's rank; else
            ``best`` and ``spread`` say how far off a score is.
        best: the score of the best architecture.
        spread: standard deviation of the scores of random architectures.
    """

    space: SearchSpace
    score: Callable[[np.ndarray], np.ndarray]
    ranked: bool
    best: float = 0.0
    spread: float = 1.0


def widths_space(blocks: int = 5, widths: Sequence[int] = range(8, 65, 8)) -> SearchSpace:
    """Blocks that differ in width only."""
    return SearchSpace(
        candidates=[(1, 1, width) for width in widths],
        depths=(blocks,),
        widths=(64,),
        strides=(1,),
    )


def choices_space(blocks: int) -> SearchSpace:
    """Blocks of the paper's four candidates."""
    return SearchSpace(candidates=PAPER_CANDIDATES, depths=(blocks,), widths=(64,), strides=(1,))


def saturating(noise: float, seed: int) -> Landscape:
    """8^5 widths: each helps less and less, narrow ones hold their neighbours back."""
    rng = np.random.default_rng([1, seed])
    space = widths_space()
    gain, scale = rng.uniform(0.3, 1.5, 5), rng.uniform(1.0, 4.0, 5)
    bottleneck, late = rng.uniform(0.0, 0.6, 4), rng.uniform(0.0, 0.15, 5)
    archs = space.everything()
    width = archs + 1.0
    clean = ((1 - np.exp(-width / scale)) * gain - late * gain * (width / 8) ** 3).sum(axis=1)
    narrow = np.minimum(width[:, 1:], width[:, :-1])
    clean += ((1 - np.exp(-narrow / 3)) * bottleneck).sum(axis=1)
    return _noisy(space, clean, noise, rng)


def epistatic(space: SearchSpace, noise: float, pairs: float, seed: int) -> Landscape:
    """Rugged: every candidate has an effect of its own and with each of every other block."""
    rng = np.random.default_rng([2, seed])
    blocks, candidates = space.num_blocks, space.num_candidates
    archs = space.everything()
    clean = rng.standard_normal((blocks, candidates))[np.arange(blocks), archs].sum(axis=1)
    scale = pairs / np.sqrt((blocks - 1) / 2)
    for first in range(blocks):
        for second in range(first):
            effects = scale * rng.standard_normal((candidates, candidates))
            clean += effects[archs[:, first], archs[:, second]]
    return _noisy(space, clean, noise, rng)


def chain(pairs: float, seed: int, blocks: int = 16) -> Landscape:
    """4^16: effects of each candidate and of neighbours; the best one is known exactly."""
    rng = np.random.default_rng([3, seed])
    space = choices_space(blocks)
    main = rng.standard_normal((blocks, 4)) * rng.uniform(0.3, 1.5, (blocks, 1))
    pair = pairs * rng.standard_normal((blocks - 1, 4, 4))

    def score(archs: np.ndarray) -> np.ndarray:
        total = main[np.arange(blocks), archs].sum(axis=1)
        return total + pair[np.arange(blocks - 1), archs[:, :-1], archs[:, 1:]].sum(axis=1)

    best = main[0]
    for block in range(1, blocks):
        best = (best[:, None] + pair[block - 1]).max(axis=0) + main[block]
    spread = score(rng.integers(4, size=(10_000, blocks))).std()
    return Landscape(space, score, False, float(best.max()), float(spread))


def read_table(path: str) -> Landscape:
    """The landscape of a table of all architectures of a size space, written ``8:64:16:8:8``.

    Raises:
        UserError: it is no such table, or some are missing.
    """
    results = read_results(path)
    blocks = next(iter(results.texts.values())).count(":") + 1
    values = {}
    for key, numbers in zip(results.values, results.matrix(results.values), strict=True):
        widths = results.texts[key].split(":")
        if len(widths) != blocks or not all(WIDTH.fullmatch(width) for width in widths):
            raise UserError(
                f"{path}: architecture {results.texts[key]} is no {blocks} widths, written 8:64:16"
            )
        values[tuple(map(int, widths))] = np.nanmean(numbers)
    widths = sorted({width for arch in values for width in arch})
    for arch in itertools.product(widths, repeat=blocks):
        if arch not in values:
            raise UserError(
                f"{path} has no architecture {':'.join(map(str, arch))} of its space "
                f"{len(widths)}^{blocks}: a search needs all"
            )
    space = widths_space(blocks, widths)
    return tabled(space, np.array([values[arch] for arch in sorted(values)]))


def tabled(space: SearchSpace, values: np.ndarray) -> Landscape:
    """The landscape of the values of all architectures, in the order of ``space.everything()``."""
    places = space.num_candidates ** np.arange(space.num_blocks)[::-1]
    return Landscape(
        space, lambda archs: values[np.asarray(archs) @ places], True, values.max(), values.std()
    )


def _noisy(
    space: SearchSpace, clean: np.ndarray, noise: float, rng: np.random.Generator
) -> Landscape:
    """Adds to each architecture an effect of its own, ``noise`` times the scores' spread."""
    return tabled(space, clean + noise * clean.std() * rng.standard_normal(len(clean)))


FAMILIES: dict[str, Callable[[int], Landscape]] = {
    "saturating 8^5, little noise": lambda seed: saturating(0.03, seed),
    "saturating 8^5, noise": lambda seed: saturating(0.12, seed),
    "saturating 8^5, much noise": lambda seed: saturating(0.3, seed),
    "epistatic 8^5": lambda seed: epistatic(widths_space(), 0.1, 0.5, seed),
    "epistatic 4^8": lambda seed: epistatic(choices_space(8), 0.1, 0.7, seed),
    "chain 4^16": lambda seed: chain(0.6, seed),
}
