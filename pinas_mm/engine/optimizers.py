"""Fused optimizers, for networks of which a step runs a part and where PyTorch has none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from pinas_mm.compat import can_fuse
from pinas_mm.errors import UserError
from pinas_mm.registry import OPTIMIZERS


class _InMemoryOrder(torch.optim.Optimizer):
    """Gradients and state for PyTorch's fused kernels on a CPU, which read a parameter, its
    gradient and its state side by side in memory, whatever their strides say: in different
    layouts, elements are updated by others' gradients, silently. And they copy what is not
    contiguous in the order of its axes, as are weights in channels_last, without using the copy.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """PyTorch's; state is laid out in memory as its parameter is."""
        super().load_state_dict(state_dict)
        for parameter, state in self.state.items():
            for name, value in state.items():
                if name != "step" and torch.is_tensor(value) and value.shape == parameter.shape:
                    state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)

    def _init_group(
        self,
        group: dict[str, Any],
        params: list[torch.Tensor],
        grads: list[torch.Tensor],
        *others: Any,
    ) -> bool:
        found: bool = super()._init_group(  # type: ignore[misc]  # Each optimizer's, not the base's.
            group, params, grads, *others
        )
        if _fused(group):
            grads[:] = map(_in_memory_order, params, grads)
        return found


@OPTIMIZERS.register_module()
class SGD(_InMemoryOrder, torch.optim.SGD):
    """PyTorch's, whose ``fused=True`` wants momentum for all parameters with a gradient or for
    none: of a supernet some meet their first gradient when others have momentum already.

    Args:
        params, **options: PyTorch's. Where it cannot fuse, as before 2.4 on CPUs, ``fused=True``
            is left out.

    Raises:
        UserError: ``fused`` and ``dampening``: the first gradient would be damped too.

    Example:
        >>> optim_wrapper = dict(
        ...     type='OptimWrapper',
        ...     optimizer=dict(type='pinas_mm.SGD', lr=0.03, momentum=0.9, fused=True),
        ... )
    """

    def __init__(self, params: Iterable[Any], **options: Any) -> None:
        asked = options.get("fused")
        params, options = _possible(torch.optim.SGD, params, options)
        super().__init__(params, **options)
        # Refused where it is not fused too: a config is good for all machines or for none.
        if any((asked or _fused(group)) and group["dampening"] for group in self.param_groups):
            raise UserError("pinas_mm.SGD has fused=True and a dampening: leave out one of them")

    def _init_group(
        self,
        group: dict[str, Any],
        params: list[torch.Tensor],
        grads: list[torch.Tensor],
        momentum_buffer_list: list[torch.Tensor | None],
    ) -> bool:
        sparse = super()._init_group(group, params, grads, momentum_buffer_list)
        if _fused(group):
            # From zero the first step's momentum is the gradient, as in PyTorch's other ways.
            momentum_buffer_list[:] = [
                torch.zeros_like(parameter) if buffer is None else buffer
                for parameter, buffer in zip(params, momentum_buffer_list, strict=False)
            ]
        return sparse


@OPTIMIZERS.register_module()
class AdamW(_InMemoryOrder, torch.optim.AdamW):
    """PyTorch's, whose ``fused=True`` is left out where it cannot, as before 2.4 on CPUs.

    Args:
        params, **options: PyTorch's.
    """

    def __init__(self, params: Iterable[Any], **options: Any) -> None:
        params, options = _possible(torch.optim.AdamW, params, options)
        super().__init__(params, **options)


def _in_memory_order(parameter: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """A gradient, its axes in the order in which the parameter's lie in memory: contiguous, and
    not copied where both lie alike.
    """
    if parameter.device.type != "cpu" or gradient.is_sparse:
        return gradient
    if parameter.is_contiguous():
        return gradient.contiguous()
    axes = sorted(range(parameter.ndim), key=parameter.stride, reverse=True)
    return gradient.permute(axes).contiguous()


def _fused(group: dict[str, Any]) -> bool:
    return bool(group.get("fused"))


def _possible(
    optimizer: type[torch.optim.Optimizer], params: Iterable[Any], options: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Parameters and options, without ``fused`` where it cannot be."""
    groups = list(params)
    for group in groups:
        if isinstance(group, dict) and not torch.is_tensor(group["params"]):
            group["params"] = list(group["params"])  # It may be an iterator, which is read once.
    inner = [group["params"] if isinstance(group, dict) else group for group in groups]
    tensors = [one for part in inner for one in ([part] if torch.is_tensor(part) else part)]
    if "fused" in options and not can_fuse(optimizer, {one.device.type for one in tensors}):
        options = {name: value for name, value in options.items() if name != "fused"}
    return groups, options
