"""Where the running training stands, for everything random that must survive a resume."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from mmengine.dist import broadcast_object_list, get_world_size
from mmengine.logging import MessageHub

# Where rank 0's seed is kept, beside the process's own.
SHARED = "pinas_mm_shared_seed"


class RunState(NamedTuple):
    """Rank 0's seed of the run, and the number of training iterations finished before this one."""

    seed: int
    iteration: int


def shared_seed(own: int) -> int:
    """Rank 0's seed, for what all ranks must draw alike outside of training iterations.

    All ranks ask together.

    Args:
        own: the process's seed, as ``runner.seed``.
    """
    seeds = [own]
    broadcast_object_list(seeds)
    return seeds[0]


def run_state() -> RunState:
    """The state of the runner at work, as mmengine's RuntimeInfoHook publishes it.

    With ``randomness=dict(diff_rank_seed=True)`` each process has a seed of its own. What ranks
    must agree on comes from rank 0's, which all learn when all ask for the first time.

    Raises:
        RuntimeError: no runner is training.
    """
    info = MessageHub.get_current_instance().runtime_info
    if "iter" in info and "seed" in info:
        own = int(info["seed"])
        if get_world_size() > 1:
            if info.get(SHARED, {}).get("of") != own:
                hub = MessageHub.get_current_instance()
                hub.update_info(SHARED, {"of": own, "seed": shared_seed(own)})
            own = info[SHARED]["seed"]
        return RunState(own, int(info["iter"]))
    raise RuntimeError(
        "no mmengine runner is training here, so there is no seed and no iteration to draw from: "
        "pass what is to be drawn explicitly (loss(..., paths=[...]))"
    )


def generator(*key: int) -> torch.Generator:
    """A CPU generator seeded by whole numbers of at least 0, such as (seed, iteration)."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) % 2**63)
