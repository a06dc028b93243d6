"""What part of a training step's time is which, by PyTorch's profiler."""

import functools
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch

REGIONS = ("views", "teacher update", "loss and queue")
# The innermost that fits counts: an operation, a node of the backward pass, a region.
PARTS = {
    "convolution": ("conv", "aten::mm", "aten::addmm", "aten::bmm", "mkldnn_linear"),
    "batch norm": ("batch_norm", "BatchNorm"),
    "optimizer": ("Optimizer.",),
    "gradient accumulation": ("AccumulateGrad",),
    "casts": ("aten::_to_copy", "ToCopyBackward"),
    "attention": ("attention", "Mul", "Addcmul", "Softmax", "Sigmoid", "Unbind", "Split"),
    "pooling": ("_pool", "Pool"),
    "activation": ("relu", "Relu", "threshold"),
}


def named(owner: Any, method: str, label: str) -> None:
    """Has the profiler call a method of an object by a label."""
    function = getattr(owner, method)

    @functools.wraps(function)
    def inside(*given: Any, **options: Any) -> Any:
        with torch.profiler.record_function(f"part: {label}"):
            return function(*given, **options)

    setattr(owner, method, inside)


def shares(step: Callable[[], object], device: str) -> dict[str, float]:
    """The share of each part in a step's time on a device, the largest first.

    Args:
        step: is run once.
        device: ``cpu`` or ``cuda``.
    """
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if device == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=kinds) as profiler:
        step()
    spent: dict[str, float] = defaultdict(float)
    time = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    for event in profiler.events():
        # Kernels are listed with what launched them, and once more by themselves.
        if event.device_type == torch.autograd.DeviceType.CPU:
            spent[_part(event)] += getattr(event, time)
    whole = sum(spent.values())
    return {part: spent[part] / whole for part in sorted(spent, key=spent.get, reverse=True)}


def _part(event: Any) -> str:
    inner = None
    while event is not None:
        label = event.name.removeprefix("part: ")
        # Of a region all is the region's, of an optimizer's step too.
        if event.name.startswith("Optimizer."):
            return "optimizer"
        if label in REGIONS:
            return label
        if inner is None:
            inner = _of_name(event.name)
        event = event.cpu_parent
    return inner or "other"


def _of_name(name: str) -> str | None:
    for part, words in PARTS.items():
        if any(word in name for word in words):
            return part
    return None
