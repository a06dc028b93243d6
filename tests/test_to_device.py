"""Small tensors go where they are wanted, and nothing waits for it."""

import pytest
import torch

from pinas_mm.to_device import to_device


def test_on_a_cpu_nothing_is_copied():
    numbers = torch.arange(3)
    assert to_device(numbers, torch.device("cpu")) is numbers
    assert to_device(numbers, torch.device("cpu"), torch.float32).tolist() == [0.0, 1.0, 2.0]


def test_another_type_is_made_before_the_copy(monkeypatch):
    """A copy that converts waits for the GPU, as one from pageable memory."""
    pinned, to = [], torch.Tensor.to

    def pin_memory(tensor):
        pinned.append(tensor)
        return tensor

    def copied(tensor, *args, **options):
        if isinstance(args[0], torch.device):
            assert pinned
            assert tensor is pinned[-1]
            assert args == (torch.device("cuda"),)
            assert options == dict(non_blocking=True)
            return tensor
        return to(tensor, *args, **options)

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    monkeypatch.setattr(torch.Tensor, "to", copied)
    found = to_device(torch.arange(3), torch.device("cuda"), torch.float32)
    assert (found.dtype, found.tolist()) == (torch.float32, [0.0, 1.0, 2.0])


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
