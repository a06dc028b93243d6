"""Architectures as Optuna's parameters: one categorical parameter a choice block."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from pinas_mm.space import Arch, SearchSpace


def parameter_names(space: SearchSpace) -> tuple[str, ...]:
    """``block_00``, ``block_01``, ...: one a choice block, counted through all stages."""
    return _names(space.num_blocks)


@functools.lru_cache
def _names(blocks: int) -> tuple[str, ...]:
    return tuple(f"block_{number:02d}" for number in range(blocks))


def distributions(space: SearchSpace) -> dict[str, CategoricalDistribution]:
    """What Optuna draws from: candidate indices of each block."""
    rows = (tuple(row.nonzero()[0].tolist()) for row in space.mask)
    names = parameter_names(space)
    return {n: CategoricalDistribution(row) for n, row in zip(names, rows, strict=True)}


def parameters(arch: Arch, space: SearchSpace) -> dict[str, int]:
    """An architecture as Optuna's parameters."""
    return dict(zip(parameter_names(space), arch, strict=True))


def arch_of(trial: FrozenTrial, space: SearchSpace) -> Arch | None:
    """A trial's architecture; None where its process died before it had one."""
    params = trial.params
    try:
        return Arch([params[name] for name in parameter_names(space)], space.depths)
    except KeyError:
        return None


def held(trial: FrozenTrial, names: Sequence[str]) -> dict[int, int]:
    """Candidates by block that the record has for a trial, of the parameters ``names``.

    A trial that waits for its first turn has its architecture among Optuna's fixed parameters.
    """
    chosen = trial.params
    if trial.state in (TrialState.WAITING, TrialState.RUNNING):
        chosen = {**trial.system_attrs.get("fixed_params", {}), **chosen}
    return {block: int(chosen[name]) for block, name in enumerate(names) if name in chosen}
