"""Averages of a supernet's weights, as mmengine's EMAHook keeps them."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseAveragedModel
from mmengine.runner import Runner

from pinas_mm.registry import HOOKS


@HOOKS.register_module()
class AverageOnceHook(Hook):
    """Has every tensor averaged once a step, whoever averages.

    With ``update_buffers=True``, as RTMDet's configs have it, mmengine's averages walk a state
    dict, which has a shortcut under each candidate that shares it: it would move as many times.
    """

    # After EMAHook has built its average.
    priority = "LOWEST"

    def before_train(self, runner: Runner) -> None:
        """Leaves each tensor's first name to the averages of hooks and of the model."""
        averages = [getattr(hook, "ema_model", None) for hook in runner.hooks]
        for average in (*averages, *runner.model.modules()):
            if isinstance(average, BaseAveragedModel):
                average.avg_parameters = _each_once(average.avg_parameters)


def _each_once(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of names of the same memory, seen the same way, the first one."""
    names: dict[Any, str] = {}
    for name, value in tensors.items():
        names.setdefault((value.data_ptr(), value.shape, value.stride()), name)
    return {name: tensors[name] for name in names.values()}
