"""Made landscapes: scores of architectures that no one trained, to tune samplers on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from pinas_mm.space import PAPER_CANDIDATES, SearchSpace


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


def widths_space(blocks: int = 5) -> SearchSpace:
    """Blocks of eight widths, 8 to 64."""
    return SearchSpace(
        candidates=[(1, 1, width) for width in range(8, 65, 8)],
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
    return _tabled(space, clean, noise, rng)


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
    return _tabled(space, clean, noise, rng)


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


def _tabled(
    space: SearchSpace, clean: np.ndarray, noise: float, rng: np.random.Generator
) -> Landscape:
    """Adds to each architecture an effect of its own, ``noise`` times the scores' spread."""
    values = clean + noise * clean.std() * rng.standard_normal(len(clean))
    places = space.num_candidates ** np.arange(space.num_blocks)[::-1]
    return Landscape(
        space, lambda archs: values[np.asarray(archs) @ places], True, values.max(), values.std()
    )


FAMILIES: dict[str, Callable[[int], Landscape]] = {
    "saturating 8^5, little noise": lambda seed: saturating(0.03, seed),
    "saturating 8^5, noise": lambda seed: saturating(0.12, seed),
    "saturating 8^5, much noise": lambda seed: saturating(0.3, seed),
    "epistatic 8^5": lambda seed: epistatic(widths_space(), 0.1, 0.5, seed),
    "epistatic 4^8": lambda seed: epistatic(choices_space(8), 0.1, 0.7, seed),
    "chain 4^16": lambda seed: chain(0.6, seed),
}
