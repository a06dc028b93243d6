"""Findings of searches that nobody ran."""

import functools

import numpy as np

from pinas_mm.models.cost import count_costs
from pinas_mm.search.budget.constraint import Constraint
from pinas_mm.search.budget.objective import parse_objectives
from pinas_mm.search.record.findings import Evaluated, Findings
from pinas_mm.space import SearchSpace
from pinas_mm.space.cost import CostTable


@functools.cache
def counted(space: SearchSpace) -> CostTable:
    return count_costs(space, 32, 10)


def made_findings(
    space: SearchSpace, values, objectives, trials=None, constraints=(), latency=False
) -> Findings:
    """One architecture for each value, or tuple of values of the objectives, in order of ends."""
    objectives, table = parse_objectives(objectives), counted(space)
    rng = np.random.default_rng(0)
    archs = space.sample(len(values), rng)
    evaluated = []
    for index, (arch, value) in enumerate(zip(archs, values, strict=True)):
        value = value if isinstance(value, tuple) else (value,)
        cost = table.cost(arch)
        costs = dict(params=float(cost.params), macs=float(cost.macs))
        if latency:
            costs["latency"] = 1e-3 * rng.random()
        metrics = {o.name: v for o, v in zip(objectives, value, strict=True) if o.name not in costs}
        trial = index if trials is None else trials[index]
        evaluated.append(Evaluated(trial, arch, value, metrics, costs, 1.5 * (index + 1)))
    return Findings(
        space=space,
        objectives=objectives,
        constraints=tuple(map(Constraint.parse, constraints)),
        sampler="MadeSampler",
        evaluated=tuple(evaluated),
        states=dict(running=0, complete=len(evaluated), pruned=0, fail=0, waiting=0),
        checkpoint="work_dirs/<made>",
    )
