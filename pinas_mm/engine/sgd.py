"""Fused SGD for networks of which a step runs a part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from pinas_mm.errors import UserError
from pinas_mm.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class SGD(torch.optim.SGD):
    """PyTorch's, whose ``fused=True`` wants momentum for all parameters with a gradient or for
    none: of a supernet some meet their first gradient when others have momentum already.

    Args:
        params, **options: PyTorch's.

    Raises:
        UserError: ``fused`` and ``dampening``: the first gradient would be damped too.

    Example:
        >>> optim_wrapper = dict(
        ...     type='OptimWrapper',
        ...     optimizer=dict(type='pinas_mm.SGD', lr=0.03, momentum=0.9, fused=True),
        ... )
    """

    def __init__(self, params: Iterable[Any], **options: Any) -> None:
        super().__init__(params, **options)
        if any(group["fused"] and group["dampening"] for group in self.param_groups):
            raise UserError("pinas_mm.SGD has fused=True and a dampening: leave out one of them")

    def _init_group(
        self,
        group: dict[str, Any],
        params: list[torch.Tensor],
        grads: list[torch.Tensor],
        momentum_buffer_list: list[torch.Tensor | None],
    ) -> bool:
        sparse: bool = super()._init_group(  # type: ignore[no-untyped-call]  # PyTorch's.
            group, params, grads, momentum_buffer_list
        )
        if group["fused"]:
            # From zero the first step's momentum is the gradient, as in PyTorch's other ways.
            momentum_buffer_list[:] = [
                torch.zeros_like(parameter) if buffer is None else buffer
                for parameter, buffer in zip(params, momentum_buffer_list, strict=False)
            ]
        return sparse
