"""The validation that an interruption broke off."""

from __future__ import annotations

from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner

from pinas_mm.engine.runner_parts import within_epoch
from pinas_mm.files import write_atomically
from pinas_mm.registry import HOOKS


@HOOKS.register_module()
class LastValidationHook(Hook):
    """Validates a resumed run where it goes on, if the validation due there was broken off.

    A checkpoint is written before the validation of its epoch or iteration, and mmengine would go
    on with the next step. ``last_validation`` in the work dir says after which iteration one was
    last done.
    """

    priority = "LOWEST"

    def before_train(self, runner: Runner) -> None:
        """Runs the validation where one is due and not done."""
        loop, val_loop = runner.train_loop, runner.val_loop
        if val_loop is None or not loop.iter:
            return
        if isinstance(loop, EpochBasedTrainLoop):
            # Of an epoch that was broken off, or whose end is yet to come, it comes with the end.
            done, last = 0 if within_epoch(loop) else loop.epoch, loop.max_epochs
        else:
            done, last = loop.iter, loop.max_iters
        begun = done >= getattr(loop, "val_begin", 1)
        interval = getattr(loop, "val_interval", 1)
        due = done > 0 and (done >= last or (begun and done % interval == 0))
        if not due:
            return
        file = Path(runner.work_dir) / "last_validation"
        # Rank 0 wrote it, and says for all: others may not see its file system, or not yet.
        validated = [file.is_file() and file.read_text() == str(loop.iter)]
        broadcast_object_list(validated)
        if not validated[0]:
            val_loop.run()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Notes where the training stands, after the best checkpoint is written."""
        if isinstance(runner._train_loop, BaseLoop) and is_main_process():
            file = Path(runner.work_dir) / "last_validation"
            write_atomically(file, str(runner.iter).encode())
