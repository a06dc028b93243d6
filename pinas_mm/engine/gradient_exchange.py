"""Gradients averaged over all processes, a bucket at a time."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import distributed, nn

from pinas_mm.to_device import to_device


class Exchange:
    """One averaging of gradients over all processes, in buckets, during a backward pass.

    Args:
        parameters: whose gradients are averaged, in the same order in all processes.
        coming: those of them that the backward pass will give gradients to; the others' are there.
        bucket_bytes: how much is sent at once.
        overlap: False sends nothing before the backward pass has ended.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        coming: Iterable[nn.Parameter],
        bucket_bytes: int,
        overlap: bool,
    ) -> None:
        self._overlap = overlap
        self.buckets: list[Bucket] = []
        self.bucket_of: dict[nn.Parameter, Bucket] = {}
        for parameter in parameters:
            last = self.buckets[-1] if self.buckets else None
            if last is None or not last.takes(parameter, bucket_bytes):
                self.buckets.append(last := Bucket(parameter.dtype, parameter.device))
            last.add(parameter)
            self.bucket_of[parameter] = last
        for parameter in coming:
            self.bucket_of[parameter].coming.add(parameter)
        self._sent = 0

    def arrived(self, parameter: nn.Parameter) -> None:
        """A gradient is there; sends the buckets that are full, in order."""
        self.bucket_of[parameter].coming.discard(parameter)
        if not self._overlap:
            return
        while self._sent < len(self.buckets) and not self.buckets[self._sent].coming:
            self._send()

    def has_sent(self, parameter: nn.Parameter) -> bool:
        """Whether the parameter's gradient is under way, so that nothing can be added to it."""
        return self.bucket_of[parameter].sent

    def finish(self) -> None:
        """Sends what is left, waits, and puts the means in place of the gradients."""
        while self._sent < len(self.buckets):
            self._send()
        parameters = [*self.bucket_of]
        if not parameters:
            return
        here = [parameter.grad is not None for parameter in parameters]
        counts = to_device(torch.tensor(here, dtype=torch.int32), parameters[0].device)
        counting = distributed.all_reduce(counts, async_op=True)
        for bucket in self.buckets:
            bucket.work.wait()
        counting.wait()
        # Only now, and seldom, does anything wait for a GPU.
        anywhere = here if all(here) else (counts > 0).tolist()
        used = {p for p, somewhere in zip(parameters, anywhere, strict=True) if somewhere}
        for bucket in self.buckets:
            bucket.put(used)

    def _send(self) -> None:
        self.buckets[self._sent].send()
        self._sent += 1


class Bucket:
    """Gradients of one type on one device that are sent together.

    Attributes:
        coming: parameters whose gradients the backward pass has not given yet.
        sent: whether the exchange is under way, or done.
        work: of that.
    """

    work: distributed.Work
    sent = False

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.coming: set[nn.Parameter] = set()
        self._kind = dtype, device
        self._parameters: list[nn.Parameter] = []
        self._bytes = 0
        self._sum: torch.Tensor

    def takes(self, parameter: nn.Parameter, limit: int) -> bool:
        """Whether another parameter fits."""
        fits = self._bytes + parameter.nbytes <= limit
        return fits and (parameter.dtype, parameter.device) == self._kind

    def add(self, parameter: nn.Parameter) -> None:
        """Takes a parameter's gradient along."""
        self._parameters.append(parameter)
        self._bytes += parameter.nbytes

    @torch.no_grad()
    def send(self) -> None:
        """Begins to sum the processes' shares of the mean, zeros where there is no gradient."""
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]
        flat = torch.cat([part.reshape(-1) for part in parts])
        # Before the sum, as PyTorch does, so that half precision does not overflow.
        self._sum = flat.mul_(1 / distributed.get_world_size())
        self.work, self.sent = distributed.all_reduce(self._sum, async_op=True), True

    @torch.no_grad()
    def put(self, used: set[nn.Parameter]) -> None:
        """The means become the gradients of what is used anywhere."""
        means = self._sum.split([parameter.numel() for parameter in self._parameters])
        old, new = [], []
        for parameter, mean in zip(self._parameters, means, strict=True):
            if parameter not in used:
                continue
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            old.append(parameter.grad)
            new.append(mean.view_as(parameter))
        if old:
            torch._foreach_copy_(old, new)
