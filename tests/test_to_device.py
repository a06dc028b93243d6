"""Small tensors go where they are wanted, and nothing waits for it."""

import pytest
import torch

from pinas_mm.to_device import to_device


def test_on_a_cpu_nothing_is_copied():
    numbers = torch.arange(3)
    assert to_device(numbers, torch.device("cpu")) is numbers
    assert to_device(numbers, torch.device("cpu"), torch.float32).tolist() == [0.0, 1.0, 2.0]


@pytest.mark.gpu
def test_a_gpu_is_not_waited_for():
    numbers = torch.arange(3)
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="synchronizing"):
            numbers.to("cuda")
        found = to_device(numbers, torch.device("cuda"), torch.float32)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert found.tolist() == [0.0, 1.0, 2.0]
