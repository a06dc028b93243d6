"""What others ask of a runner: its model unwrapped, its config's file, where its loop stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner


def dumped_config(runner: Runner) -> Path:
    """The file that a runner leaves in its work dir: its whole config, options merged in."""
    name = Path(runner.cfg.filename).name if runner.cfg.filename else f"{runner.timestamp}.py"
    return Path(runner.work_dir, name)


def unwrapped(model: torch.nn.Module) -> Any:
    """The model without its distributed wrapper and without test-time augmentation."""
    inner: Any = model
    while is_model_wrapper(inner) or isinstance(inner, BaseTTAModel):
        inner = inner.module
    return inner


def within_epoch(loop: Any) -> bool:
    """Whether a loop goes on from a checkpoint that was written within an epoch."""
    return getattr(loop.dataloader.batch_sampler, "within", False)
