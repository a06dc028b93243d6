"""The schedule of the teacher's momentum."""

from __future__ import annotations

import math
from typing import Any, cast

from mmengine.hooks import Hook
from mmengine.runner import Runner

from pinas_mm.engine.runner_parts import unwrapped
from pinas_mm.errors import UserError
from pinas_mm.registry import HOOKS


@HOOKS.register_module()
class TeacherMomentumHook(Hook):
    """Moves the teacher's momentum along a half cosine (BYOL, appendix A).

    Args:
        start: momentum at the first iteration; None takes the teacher's configured one.
        end: momentum at the last iteration.

    Raises:
        UserError: ``start`` or ``end`` is not from 0 to 1; before the training, where the model has
            no teacher with a momentum.
    """

    def __init__(self, start: float | None = None, end: float = 1.0) -> None:
        for name, momentum in (("start", start), ("end", end)):
            if momentum is not None and not 0 <= momentum <= 1:
                raise UserError(
                    f"TeacherMomentumHook's {name} is {momentum}: it must be between 0 and 1"
                )
        self.start, self.end = start, end

    def before_train(self, runner: Runner) -> None:
        """Checks that there is a teacher to schedule."""
        teacher: Any = getattr(unwrapped(runner.model), "teacher", None)
        if not hasattr(teacher, "momentum"):
            raise UserError(
                "TeacherMomentumHook needs a model with a pinas_mm.MeanTeacher: remove the hook "
                "from custom_hooks or configure the teacher"
            )
        if self.start is None:
            self.start = teacher.momentum

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Sets the iteration's momentum."""
        progress = runner.iter / max(runner.max_iters - 1, 1)
        start = cast(float, self.start)
        momentum = self.end - (self.end - start) * (math.cos(math.pi * progress) + 1) / 2
        unwrapped(runner.model).teacher.momentum = momentum
        runner.message_hub.update_scalar("train/teacher_momentum", momentum)
