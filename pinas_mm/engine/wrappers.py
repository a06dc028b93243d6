"""Distributed wrappers, and SyncBN where there is no GPU: its layers become plain BN."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from mmengine.model.utils import _BatchNormXd
from mmengine.runner import Runner
from torch import nn

from pinas_mm.registry import HOOKS, MODEL_WRAPPERS


@HOOKS.register_module()
class SyncBNOnCPUHook(Hook):
    """Makes SyncBN layers plain BN where there is no GPU, and says so before the run begins.

    In a single process mmengine's runner has turned them already, without a word whether there were
    any; then the notice is all that is left to do. With a GPU nothing happens. Weights, statistics
    and names stay, so that checkpoints do not depend on it.
    """

    # Before hooks that copy the model, as EMAHook does.
    priority = "VERY_HIGH"

    def before_run(self, runner: Runner) -> None:
        """Turns the layers; before initialization and loading."""
        if torch.cuda.is_available():
            return
        runner.model = revert_sync_batchnorm(runner.model)
        if any(isinstance(module, _BatchNormXd) for module in runner.model.modules()):
            runner.logger.info("no GPU: SyncBN needs one, its layers are plain BN here")


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """mmengine's wrapper, for processes without a GPU too.

    PyTorch's refuses SyncBN on the CPU when it is built, before any hook runs.

    Args:
        module: the model, on its device.
        **kwargs: of ``MMDistributedDataParallel``.
    """

    def __init__(self, module: nn.Module, **kwargs: Any) -> None:
        if not torch.cuda.is_available():
            module, kwargs["device_ids"] = revert_sync_batchnorm(module), None
        super().__init__(module, **kwargs)
