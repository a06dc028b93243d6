"""Samplers of architectures: ours and Optuna's."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from pinas_mm.errors import UserError
from pinas_mm.registry import ARCH_SAMPLERS
from pinas_mm.search.budget.budget import Budget, SpaceExhausted
from pinas_mm.search.budget.objective import Objective
from pinas_mm.search.samplers.base import ArchSampler
from pinas_mm.search.samplers.evolution import EvolutionSampler
from pinas_mm.search.samplers.history import History
from pinas_mm.search.samplers.lanas import LaNASSampler
from pinas_mm.search.samplers.library import OPTUNA_SAMPLERS, Unrepeated, optuna_sampler
from pinas_mm.search.samplers.predictor import PredictorSampler
from pinas_mm.space import SearchSpace

for _sampler in (EvolutionSampler, LaNASSampler, PredictorSampler):
    ARCH_SAMPLERS.register_module(module=_sampler)

__all__ = [
    "ArchSampler",
    "EvolutionSampler",
    "History",
    "LaNASSampler",
    "PredictorSampler",
    "SpaceExhausted",
    "Unrepeated",
    "build_sampler",
    "optuna_sampler",
]

# What build_sampler gives itself.
GIVEN = ("space", "budget", "seed", "objectives")


def build_sampler(
    config: str | Mapping[str, Any],
    space: SearchSpace,
    budget: Budget | None = None,
    objectives: Sequence[Objective] = (),
    seed: int = 0,
) -> BaseSampler:
    """A sampler from its name or config.

    Args:
        config: ``PredictorSampler``, ``dict(type='pinas_mm.LaNASSampler', startup=40)``, or a
            class of Optuna's with its options, ``dict(type='TPESampler', multivariate=True)``.
        space: the search space.
        budget: what is feasible; None is everything.
        objectives: of the search.
        seed: of the proposals.

    Raises:
        UserError: the name is unknown, the message has all that are known, or the sampler does
            not take an option.
    """
    options = {"type": config} if isinstance(config, str) else dict(config)
    name = str(options.pop("type", None))
    fixed = sorted(set(options) & set(GIVEN))
    if fixed:
        raise UserError(f"{', '.join(fixed)} of a sampler come from the search: leave them out")
    sampler = ARCH_SAMPLERS.module_dict.get(name.removeprefix("pinas_mm."))
    if sampler is None:
        if name not in OPTUNA_SAMPLERS:
            known = ", ".join((*sorted(ARCH_SAMPLERS.module_dict), *OPTUNA_SAMPLERS))
            there = name in optuna.samplers.__all__ and name.endswith("Sampler")
            fault = "is Optuna's and cannot search architectures" if there else "is unknown"
            raise UserError(f"sampler {name} {fault}: take {known}")
        return optuna_sampler(name, space, budget, seed, objectives, **options)
    taken = [key for key in inspect.signature(sampler).parameters if key not in GIVEN]
    unknown = sorted(set(options) - set(taken))
    if unknown:
        raise UserError(f"{name} has no {', '.join(unknown)}; it takes {', '.join(taken)}")
    try:
        return sampler(space, budget=budget, seed=seed, objectives=objectives, **options)
    except TypeError as error:
        raise UserError(f"{name} does not take {options}: {error}") from None
