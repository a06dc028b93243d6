"""Seed and iteration come from the runner at work; generators are functions of their key."""

import pytest
import torch
from mmengine.logging import MessageHub

from pinas_mm.run_state import RunState, generator, run_state


def test_without_a_runner_there_is_no_state():
    MessageHub.get_instance("no runner has written here")
    with pytest.raises(RuntimeError, match="pass what is to be drawn explicitly"):
        run_state()


def test_the_runners_seed_and_iteration_are_found(at_iteration):
    at_iteration(5, 17)
    assert run_state() == RunState(seed=5, iteration=17)


def test_generators_are_a_function_of_their_key_alone():
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2**40, 0, 0)]
    draws = [torch.rand(8, generator=generator(*key)) for key in keys]
    torch.manual_seed(3)
    for index, key in enumerate(keys):
        assert torch.equal(torch.rand(8, generator=generator(*key)), draws[index])
        assert all(not torch.equal(draws[index], other) for other in draws[:index])
