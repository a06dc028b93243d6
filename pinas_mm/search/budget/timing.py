"""How long a call takes."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from pinas_mm.models.following import Maps

WARM_UP = 3
# Seconds that one measurement takes at least: clocks and synchronization cost microseconds.
SPAN = 2e-3


def noise(shape: torch.Size, device: torch.device, layout: torch.memory_format) -> torch.Tensor:
    """Drawn on the CPU, whose random numbers are restored."""
    return torch.rand(shape).to(device).contiguous(memory_format=layout)


def timed(
    run: Callable[[Any], Any], x: torch.Tensor | Maps, repeats: int
) -> tuple[float, Any, float]:
    """Median seconds that ``run`` takes on an input, its output, and how far half of the repeats
    lie apart, as a share of the median.

    Args:
        run: what is timed.
        x: its input, on the device where it runs.
        repeats: of what counts, after a warm-up.
    """
    clock = _of_gpu if (x if isinstance(x, torch.Tensor) else x[0]).is_cuda else _of_cpu
    for _ in range(WARM_UP):
        out = run(x)
    once = clock(run, x, 1)
    runs = math.ceil(SPAN / max(once, SPAN * 1e-3))
    times = [clock(run, x, runs) / runs for _ in range(repeats)]
    low, middle, high = np.quantile(times, [0.25, 0.5, 0.75])
    return float(middle), out, float((high - low) / middle)


def _of_cpu(run: Callable[[Any], Any], x: Any, runs: int) -> float:
    start = time.perf_counter()
    for _ in range(runs):
        run(x)
    return time.perf_counter() - start


def _of_gpu(run: Callable[[Any], Any], x: Any, runs: int) -> float:
    # By the GPU's own clock, from the first operation on: that it waits for this process to launch
    # the next one is counted. Events are of the current device's stream.
    with torch.cuda.device((x if isinstance(x, torch.Tensor) else x[0]).device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(runs):
            run(x)
        end.record()
        end.synchronize()
    return 1e-3 * start.elapsed_time(end)


@contextlib.contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """As many threads for PyTorch on the CPU, in a ``with`` block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
