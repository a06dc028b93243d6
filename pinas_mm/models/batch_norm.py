"""Batch-norm statistics: using a batch's own, and recomputing the running ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import torch
from mmengine.dist import all_reduce
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

# To recompute an architecture's statistics on: the paper's, for ImageNet.
CALIBRATION_BATCHES = 49


def batch_norms(*modules: nn.Module) -> list[_BatchNorm]:
    """The batch norms of modules that keep running statistics, each once."""
    found = {m: None for module in modules for m in module.modules() if isinstance(m, _BatchNorm)}
    return [norm for norm in found if norm.track_running_stats]


@contextlib.contextmanager
def modes_kept(module: nn.Module) -> Iterator[None]:
    """Afterwards each part of a module is in the mode, training or evaluation, that it was in."""
    modes = [(m, m.training) for m in module.modules()]
    try:
        yield
    finally:
        for m, mode in modes:
            m.training = mode


@contextlib.contextmanager
def batch_statistics(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradient, but batch norms use their batch, and do not count it."""
    norms = set(batch_norms(module))
    with modes_kept(module), torch.no_grad():
        for m in module.modules():
            m.training = m in norms
        for norm in norms:
            norm.track_running_stats = False
        try:
            yield
        finally:
            for norm in norms:
                norm.track_running_stats = True


@contextlib.contextmanager
def uncounted_batches(*modules: nn.Module) -> Iterator[None]:
    """Batch norms compute as ever here, autograd included, but leave their running statistics.

    Where a backward pass recomputes activations: with ``track_running_stats=False`` autograd would
    keep fewer tensors than it did in the forward pass, which PyTorch refuses.
    """
    norms = batch_norms(*modules)
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        # A counter of its own and not None, which SyncBN refuses.
        norm.momentum, norm.num_batches_tracked = 0.0, torch.zeros_like(_tracked(norm)[2])
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


class Statistics:
    """Running means and variances of the batch norms that one path runs.

    Args:
        module: the network.
        run: runs the path on a batch.
        batches: the images to compute the statistics on; batches weigh equally, on all ranks
            together.
    """

    def __init__(
        self, module: nn.Module, run: Callable[[Any], object], batches: Iterable[Any]
    ) -> None:
        norms = batch_norms(module)
        before = [_buffers(norm) for norm in norms]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # A cumulative average.
        try:
            with modes_kept(module), torch.no_grad():
                module.eval()
                for norm in norms:
                    norm.train()
                for batch in batches:
                    run(batch)
            counts = _counts(norms)
            # Images may decide what runs, so that some norms ran in some processes alone.
            usual = counts.clone()
            all_reduce(usual, op="mean")
            ran = zip(norms, usual, strict=True)
            self._values = [(norm, _buffers(norm)) for norm, count in ran if count]
        finally:
            for norm, momentum, values in zip(norms, momenta, before, strict=True):
                norm.momentum = momentum
                _assign(norm, values)
        shares = (counts / usual)[usual > 0].tolist()
        for (_, (mean, var, _)), share in zip(self._values, shares, strict=True):
            for value in (mean, var):
                value.mul_(share)
                all_reduce(value, op="mean")

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The network in evaluation mode with these statistics; afterwards as it was."""
        before = [(norm, _buffers(norm)) for norm, _ in self._values]
        self.write()
        try:
            yield
        finally:
            for norm, values in before:
                _assign(norm, values)

    def write(self) -> None:
        """Leaves these statistics in the network."""
        for norm, values in self._values:
            _assign(norm, values)


def _tracked(norm: _BatchNorm) -> tuple[torch.Tensor, ...]:
    """Mean, variance and count, which norms without running statistics have not."""
    buffers = norm.running_mean, norm.running_var, norm.num_batches_tracked
    return cast("tuple[torch.Tensor, ...]", buffers)


def _counts(norms: list[_BatchNorm]) -> torch.Tensor:
    """How many batches each has seen, float, on the CPU; a GPU is waited for once."""
    if not norms:
        return torch.zeros(0)
    counts = [_tracked(norm)[2] for norm in norms]
    return torch.stack([count.to(counts[0].device) for count in counts]).cpu().float()


def _buffers(norm: _BatchNorm) -> tuple[torch.Tensor, ...]:
    return tuple(buffer.clone() for buffer in _tracked(norm))


def _assign(norm: _BatchNorm, values: tuple[torch.Tensor, ...]) -> None:
    for buffer, value in zip(_tracked(norm), values, strict=True):
        buffer.copy_(value)
