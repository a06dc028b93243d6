"""Where the running training stands, for everything random that must survive a resume."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from mmengine.logging import MessageHub


class RunState(NamedTuple):
    """Seed of the run and number of training iterations finished before this one."""

    seed: int
    iteration: int


def run_state() -> RunState:
    """The state of the runner at work, as mmengine's RuntimeInfoHook publishes it.

    Raises:
        RuntimeError: no runner is training.
    """
    info = MessageHub.get_current_instance().runtime_info
    if "iter" in info and "seed" in info:
        return RunState(int(info["seed"]), int(info["iter"]))
    raise RuntimeError(
        "no mmengine runner is training here, so there is no seed and no iteration to draw from: "
        "pass what is to be drawn explicitly (loss(..., paths=[...]))"
    )


def generator(*key: int) -> torch.Generator:
    """A CPU generator seeded by whole numbers of at least 0, such as (seed, iteration)."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) % 2**63)
