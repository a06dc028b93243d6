"""The end of a run whose loss or weights are no numbers any more."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from pinas_mm.engine.runner_parts import unwrapped
from pinas_mm.errors import UserError
from pinas_mm.registry import HOOKS


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """Stops a run whose loss is no number any more, before the next checkpoint is written.

    Of the weights and statistics it asks those that were finite when the training began: an
    attention's mask may be of infinities.

    Raises:
        UserError: the loss is NaN or infinite, or the weights about to be saved are; names the
            iteration and the last checkpoint.
    """

    priority = "ABOVE_NORMAL"

    def __init__(self) -> None:
        self._finite: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Notes what of the model is finite."""
        state = unwrapped(runner.model).state_dict()
        self._finite = {name for name, value in state.items() if _is_finite(value)}

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Checks the loss of every iteration; the logger has brought it to the CPU already."""
        loss = float(cast(dict[str, Any], outputs)["loss"].detach())
        if not math.isfinite(loss):
            self._stop(runner, f"loss is {loss} at iteration {runner.iter + 1}")

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Checks the weights: a gradient can be no number where the loss still was one."""
        for name, value in checkpoint["state_dict"].items():
            if name in self._finite and not _is_finite(value):
                self._stop(runner, f"{name} is not finite after iteration {runner.iter}")

    def _stop(self, runner: Runner, reason: str) -> None:
        last = runner.message_hub.runtime_info.get("last_ckpt")
        keep = (
            f"the last good checkpoint is {last}: resume from it"
            if last
            else "no checkpoint was due yet: start again"
        )
        raise UserError(f"{reason}; {keep} with a lower learning rate or clip_grad")


def _is_finite(value: Any) -> bool:
    """Whether all of it is; what a module's ``get_extra_state()`` gives can be anything."""
    numbers = isinstance(value, torch.Tensor) and value.is_floating_point()
    return not numbers or bool(value.isfinite().all())
