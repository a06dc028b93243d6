"""Small tensors that are made on the CPU and wanted on a GPU."""

from __future__ import annotations

import torch


def to_device(
    tensor: torch.Tensor, device: torch.device, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """A CPU tensor of any shape on a device; the process does not wait for a GPU.

    A copy from pageable memory waits until all that was launched before is done.

    Args:
        tensor: on the CPU.
        device: where it is wanted; its own will do.
        dtype: its type there; None keeps it.
    """
    cuda = device.type == "cuda"
    # Converted first: a copy to another type would convert into pageable memory on its way.
    source = tensor.to(dtype or tensor.dtype)
    return (source.pin_memory() if cuda else source).to(device, non_blocking=cuda)
