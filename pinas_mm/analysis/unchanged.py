"""Measuring a model without leaving a trace."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from pinas_mm.models.batch_norm import modes_kept


@contextlib.contextmanager
def unchanged(model: nn.Module) -> Iterator[Callable[[], None]]:
    """Whatever runs in the ``with`` block, parameters, buffers, gradients, modes and random numbers
    are as before afterwards; yields a function that restores parameters and buffers in between.
    """
    owners: list[dict[str, Any]]
    owners = [owner for m in model.modules() for owner in (m._parameters, m._buffers)]
    held = [(o, name, t) for o in owners for name, t in o.items() if t is not None]
    values = {tensor: tensor.detach().clone() for _, _, tensor in held}
    gradients = [(p, p.grad) for p in model.parameters()]
    devices = {tensor.device for tensor in values if tensor.is_cuda}

    @torch.no_grad()
    def restore() -> None:
        for owner, name, tensor in held:
            owner[name] = tensor
        for tensor, value in values.items():
            tensor.copy_(value)

    try:
        with modes_kept(model), random_numbers_kept(devices):
            yield restore
    finally:
        restore()
        for parameter, gradient in gradients:
            parameter.grad = gradient


@contextlib.contextmanager
def random_numbers_kept(devices: Iterable[int | torch.device] = ()) -> Iterator[None]:
    """Afterwards Python's, NumPy's and PyTorch's random numbers go on where they stood.

    Args:
        devices: the GPUs whose random numbers are kept as well.
    """
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def seed_all(seed: int) -> None:
    """Seeds Python's, NumPy's and PyTorch's random numbers."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
