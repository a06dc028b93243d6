"""Architectures as Optuna's parameters: one categorical parameter a choice block."""

from __future__ import annotations

from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

from pinas_mm.space import Arch, SearchSpace


def parameter_names(space: SearchSpace) -> list[str]:
    """``block_00``, ``block_01``, ...: one a choice block, counted through all stages."""
    return [f"block_{number:02d}" for number in range(space.num_blocks)]


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
    names = parameter_names(space)
    if not all(name in trial.params for name in names):
        return None
    return Arch((trial.params[name] for name in names), space.depths)
