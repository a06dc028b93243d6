"""Data parallelism that sends the gradients of the sampled paths and of nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from torch import distributed, nn
from torch.autograd import Variable

from pinas_mm.algorithms.base import SupernetAlgorithm
from pinas_mm.engine.gradient_exchange import Exchange
from pinas_mm.errors import UserError
from pinas_mm.registry import MODEL_WRAPPERS
from pinas_mm.run_state import run_state


@MODEL_WRAPPERS.register_module()
class PathDataParallel(nn.Module):
    """DistributedDataParallel for a :class:`~pinas_mm.algorithms.SupernetAlgorithm`.

    A step moves the paths that it takes, and all processes know them beforehand. So only their
    parameters' gradients are averaged, while the backward pass goes on, and no graph is searched
    for parameters without a gradient. PyTorch's wrapper sends zeros for all the others.

    Everything else is as there: gradients are those of the mean over the processes; a parameter
    that has none in any process keeps none; accumulated gradients (``no_sync``) go with the next
    exchange; of several paths with a backward pass each they go with the last. Parameters and
    buffers start as rank 0's; batch-norm statistics then are each process's own. There is no
    synchronization with a GPU, but where a process has no gradient for a parameter of its paths.

    Where the backward pass has exchanges of its own, as that of synchronized batch norms, gradients
    are sent after it: a process that has none for some parameter sends later than the others, and
    they would meet in another order, which hangs. Another process group does not help: NCCL may
    hang where two are at work in different orders.

    Args:
        module: the algorithm, on its device.
        bucket_mb: how many megabytes of gradients are sent at once.
        find_unused_parameters: PyTorch's; unused ones are known here, so it changes nothing.
        broadcast_buffers: PyTorch's; False alone.
        overlap: whether gradients are sent while the backward pass goes on; None where no batch
            norm is synchronized. Say False where another part of it exchanges something, as losses
            do that gather features with their gradients.

    Raises:
        UserError: ``broadcast_buffers``.
        RuntimeError: in the backward pass, a parameter beside the step's paths has a gradient, so
            that processes would go apart. Names it; ``pinas_mm.CPUDistributedDataParallel`` with
            ``find_unused_parameters=True`` is for such algorithms.
    """

    def __init__(
        self,
        module: SupernetAlgorithm,
        bucket_mb: float = 25,
        find_unused_parameters: bool = True,
        broadcast_buffers: bool = False,
        overlap: bool | None = None,
    ) -> None:
        super().__init__()
        if broadcast_buffers:
            raise UserError(
                "PathDataParallel has broadcast_buffers=True: batch-norm statistics are each "
                "process's own here, leave it out"
            )
        self.module: Any = module
        if not torch.cuda.is_available():
            self.module = revert_sync_batchnorm(module)
        self.bucket_bytes = int(bucket_mb * 2**20)
        self.overlap = not any(map(_synchronizes, module.modules())) if overlap is None else overlap
        with torch.no_grad():
            for tensor in (*module.parameters(), *module.buffers()):
                _broadcast(tensor)
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(
                    lambda parameter, name=name: self._arrived(name, parameter)
                )
        self._place = {parameter: number for number, parameter in enumerate(module.parameters())}
        self._syncs = True
        # What has gradients that the other processes have not seen.
        self._unsent: set[nn.Parameter] = set()
        # While a backward pass of a loss from here is under way.
        self._pass: BackwardPass | None = None

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients of calls in this ``with`` block stay here until the next one outside."""
        before, self._syncs = self._syncs, False
        try:
            yield
        finally:
            self._syncs = before

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's; a loss's backward pass averages gradients."""
        if not (torch.is_grad_enabled() and kwargs.get("mode") == "loss"):
            return self.module(*inputs, **kwargs)
        arch = kwargs.get("arch")
        paths = self.module.step_paths(*run_state()) if arch is None else [arch]
        learning = {p for path in paths for p in self.module.path_parameters(path)}
        self._unsent |= learning
        # As a backward pass meets them, about, and the same in all processes.
        order = sorted(self._unsent, key=self._place.__getitem__, reverse=True)
        exchange = None
        if self._syncs:
            exchange = Exchange(order, learning, self.bucket_bytes, self.overlap)
        coming = BackwardPass(self, frozenset(self._unsent), exchange)
        if self._syncs:
            self._unsent = set()
        losses = self.module(*inputs, **kwargs)
        return _map(losses, lambda loss: cast(Any, _AtBackward).apply(loss, coming))

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, torch.Tensor]:
        """mmengine's method: the algorithm's step, through this wrapper."""
        return self.module.run_step(self, data, optim_wrapper)

    def val_step(self, data: Any) -> list[Any]:
        """mmengine's method: the module's."""
        return self.module.val_step(data)

    def test_step(self, data: Any) -> list[Any]:
        """mmengine's method: the module's."""
        return self.module.test_step(data)

    def _arrived(self, name: str, parameter: nn.Parameter) -> None:
        if self._pass is None:
            return
        if parameter not in self._pass.expected:
            raise RuntimeError(
                f"{name} has a gradient, but no path of this step runs it, so other processes "
                "would not get it: step_paths() must give all paths, or take model_wrapper_cfg="
                "dict(type='pinas_mm.CPUDistributedDataParallel', find_unused_parameters=True)"
            )
        exchange = self._pass.exchange
        if exchange is None:
            return
        if exchange.has_sent(parameter):
            raise RuntimeError(
                f"{name} has another gradient after its own was sent, as in a second backward pass "
                "of one forward pass, or where two paths run a block that recomputes its "
                "activations: there take checkpoint(..., use_reentrant=False)"
            )
        exchange.arrived(parameter)


class BackwardPass:
    """From the beginning to the end of a loss's backward pass.

    Args:
        wrapper: that the loss is from.
        expected: parameters that may get gradients.
        exchange: of the gradients; None where they stay here.
    """

    def __init__(
        self,
        wrapper: PathDataParallel,
        expected: frozenset[nn.Parameter],
        exchange: Exchange | None,
    ) -> None:
        self.wrapper, self.expected, self.exchange = wrapper, expected, exchange

    def begin(self) -> None:
        """Once, whichever of several losses it begins with."""
        if self.wrapper._pass is not self:
            self.wrapper._pass = self
            Variable._execution_engine.queue_callback(self._end)

    def _end(self) -> None:
        self.wrapper._pass = None
        if self.exchange is not None:
            self.exchange.finish()


class _AtBackward(torch.autograd.Function):
    """Nothing but a call when the backward pass begins, whichever loss it begins with.

    Its end is then that of the whole pass: one inside it, as of recomputed activations, has an end
    of its own.
    """

    @staticmethod
    def forward(ctx: Any, loss: torch.Tensor, coming: BackwardPass) -> torch.Tensor:
        ctx.coming = coming
        return loss.view_as(loss)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        ctx.coming.begin()
        return grad, None


def _synchronizes(module: nn.Module) -> bool:
    """Whether it is a synchronized batch norm: PyTorch's, or mmcv's, which is no kind of that."""
    return any("SyncBatchNorm" in kind.__name__ for kind in type(module).__mro__)


def _broadcast(tensor: torch.Tensor) -> None:
    """Rank 0's values; in a copy where they do not lie in one piece, which backends refuse or
    misread.
    """
    whole = tensor.contiguous()
    distributed.broadcast(whole, 0)
    if whole is not tensor:
        tensor.copy_(whole)


def _map(losses: Any, function: Any) -> Any:
    """Of losses as models give them: tensors, and lists and dicts of them; what learns nothing
    stays.
    """
    if isinstance(losses, Mapping):
        return {name: _map(loss, function) for name, loss in losses.items()}
    if isinstance(losses, (list, tuple)):
        return [_map(loss, function) for loss in losses]
    learns = isinstance(losses, torch.Tensor) and losses.requires_grad
    return function(losses) if learns else losses
