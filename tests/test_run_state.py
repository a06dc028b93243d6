"""Seed and iteration come from the runner at work; generators are functions of their key."""

import pytest
import torch
from mmengine.logging import MessageHub
from torch import distributed, multiprocessing

from pinas_mm.run_state import SHARED, RunState, generator, run_state, shared_seed


def test_without_a_runner_there_is_no_state():
    MessageHub.get_instance("no runner has written here")
    with pytest.raises(RuntimeError, match="pass what is to be drawn explicitly"):
        run_state()


def test_the_runners_seed_and_iteration_are_found(at_iteration):
    at_iteration(5, 17)
    assert run_state() == RunState(seed=5, iteration=17)


def shared(rank, folder):
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    # Before a runner trains, and where a rank alone finds a checkpoint's seed its own.
    hub = MessageHub.get_instance("seeds")
    first = shared_seed(5 + rank)
    hub.update_info("seed", 7)
    hub.update_info(SHARED, {"of": 7, "seed": 7})
    torch.save([first, shared_seed(7 + rank)], f"{folder}/{rank}.pth")
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.slow
def test_the_shared_seed_is_rank_0s_without_a_training(tmp_path):
    multiprocessing.spawn(shared, args=(str(tmp_path),), nprocs=2)
    assert [torch.load(tmp_path / f"{rank}.pth") for rank in range(2)] == [[5, 7], [5, 7]]
    assert shared_seed(3) == 3


def test_generators_are_a_function_of_their_key_alone():
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2**40, 0, 0)]
    draws = [torch.rand(8, generator=generator(*key)) for key in keys]
    torch.manual_seed(3)
    for index, key in enumerate(keys):
        assert torch.equal(torch.rand(8, generator=generator(*key)), draws[index])
        assert all(not torch.equal(draws[index], other) for other in draws[:index])
