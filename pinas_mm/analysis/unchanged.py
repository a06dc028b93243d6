"""Measuring a model without leaving a trace."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn


@contextlib.contextmanager
def unchanged(model: nn.Module) -> Iterator[Callable[[], None]]:
    """Whatever runs here, parameters, buffers, gradients, modes and random numbers stay as they
    were; yields what restores the parameters and buffers in between.
    """
    owners: list[dict[str, Any]]
    owners = [owner for m in model.modules() for owner in (m._parameters, m._buffers)]
    held = [(o, name, t) for o in owners for name, t in o.items() if t is not None]
    values = {tensor: tensor.detach().clone() for _, _, tensor in held}
    gradients = [(p, p.grad) for p in model.parameters()]
    modes = {m: m.training for m in model.modules()}
    python, numpy = random.getstate(), np.random.get_state()
    devices = {tensor.device for tensor in values if tensor.is_cuda}

    @torch.no_grad()
    def restore() -> None:
        for owner, name, tensor in held:
            owner[name] = tensor
        for tensor, value in values.items():
            tensor.copy_(value)

    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield restore
    finally:
        restore()
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for module, mode in modes.items():
            module.training = mode
        random.setstate(python)
        np.random.set_state(numpy)


def seed_all(seed: int) -> None:
    """Seeds Python's, NumPy's and PyTorch's random numbers."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
