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
    choices = tuple(range(space.num_candidates))
    return {name: CategoricalDistribution(choices) for name in parameter_names(space)}


def parameters(arch: Arch, space: SearchSpace) -> dict[str, int]:
    """An architecture as Optuna's parameters."""
    return dict(zip(parameter_names(space), arch, strict=True))


def arch_of(trial: FrozenTrial, space: SearchSpace) -> Arch | None:
    """A trial's architecture; None where its process died before it had one."""
    names = parameter_names(space)
    if not all(name in trial.params for name in names):
        return None
    return Arch((trial.params[name] for name in names), space.depths)
