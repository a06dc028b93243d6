"""Hooks of training runs."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from pinas_mm.errors import UserError
from pinas_mm.files import write_atomically
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.models.network import Network
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.operations.norms import check_same_norm
from pinas_mm.registry import HOOKS, dicts, plain
from pinas_mm.space import SearchSpace
from pinas_mm.weights.channels import fit_channels
from pinas_mm.weights.checkpoint import check_fits, under
from pinas_mm.weights.initializers import PREFIX, load_backbone


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


@HOOKS.register_module()
class SafeCheckpointHook(Hook):
    """Checkpoints that load with ``weights_only=True``, and only where they fit.

    mmengine keeps its log in the checkpoint as objects that PyTorch's safe loading refuses; here
    they are written as plain tensors and numbers and turned back on loading. What a run is tested
    with or resumed from, or a supernet starts from, must have exactly the model's keys and shapes;
    what a network is fine-tuned from, those of its backbone, if that is ours. mmengine would load
    what fits and go on.

    Raises:
        UserError: it does not fit; of another architecture, names the first differing block.
    """

    priority = "VERY_LOW"

    def before_run(self, runner: Runner) -> None:
        """Refuses a config whose ``space`` has not reached the network.

        The tools take care of it; other programs resolve a base's use of it before it changes.
        """
        said = runner.cfg.get("space")
        said = SearchSpace.build(plain(said)) if said else SearchSpace()
        for network in unwrapped(runner.model).modules():
            if isinstance(network, Network) and network.space == SearchSpace() != said:
                raise UserError(
                    f"the config's space is {said}, its {type(network).__name__}'s is the paper's: "
                    "set model.backbone.space too, or use tools/train.py"
                )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Replaces what is neither a tensor nor a plain value; says what network it is."""
        for part in ("meta", "message_hub"):
            checkpoint[part] = plain_values(checkpoint[part])
        checkpoint["meta"]["train_loader"] = loader_facts(runner.train_dataloader)
        for state in dicts(checkpoint.get("param_schedulers")):
            # OneCycleLR keeps a function, which it has again when it is built; MultiStepLR counts
            # its milestones in a Counter, which PyTorch refuses before 2.4 and a dict will do for.
            for name, value in list(state.items()):
                if callable(value):
                    del state[name]
                elif isinstance(value, Counter):
                    state[name] = dict(value)
        network = getattr(unwrapped(runner.model), "backbone", None)
        if isinstance(network, Network):
            checkpoint["meta"] |= dict(
                space=network.space.to_dict(),
                in_channels=network.in_channels,
                norm_cfg=plain_values(dict(network.norm_cfg)),
            )
        if isinstance(network, PiNASBackbone):
            checkpoint["meta"]["arch"] = str(network.arch)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Checks the weights, restores history buffers."""
        model = unwrapped(runner.model)
        backbone = getattr(model, "backbone", None)
        state = checkpoint.get("state_dict", checkpoint)
        if isinstance(backbone, Network):
            inner = under(state, PREFIX)
            fit_channels(backbone, inner, "the checkpoint")
            if isinstance(backbone, PiNASBackbone):
                load_backbone(backbone, inner, "the checkpoint")
            meta = checkpoint.get("meta")
            norm_cfg = meta.get("norm_cfg") if isinstance(meta, dict) else None
            check_same_norm(backbone, norm_cfg, "the checkpoint")
        # A fine-tuning may leave heads out; mmengine's log says which.
        tunes = isinstance(runner._train_loop, BaseLoop) and not runner._resume
        if isinstance(backbone, PiNASSupernet) or not tunes:
            check_fits(model, state, "the checkpoint")
        # mmengine would run it as a config on resuming.
        if isinstance(checkpoint.get("meta"), dict):
            checkpoint["meta"].pop("config", None)
        scalars = checkpoint.get("message_hub", {}).get("log_scalars", {})
        for name, kept in scalars.items():
            if isinstance(kept, dict):
                history, count = kept["history"].tolist(), kept["count"].tolist()
                scalars[name] = HistoryBuffer(history, count, kept["max_length"])


def within_epoch(loop: Any) -> bool:
    """Whether a loop goes on from a checkpoint that was written within an epoch."""
    return getattr(loop.dataloader.batch_sampler, "within", False)


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
        file = Path(runner.work_dir) / "last_validation"
        if due and (not file.is_file() or file.read_text() != str(loop.iter)):
            val_loop.run()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Notes where the training stands, after the best checkpoint is written."""
        if isinstance(runner._train_loop, BaseLoop) and is_main_process():
            file = Path(runner.work_dir) / "last_validation"
            write_atomically(file, str(runner.iter).encode())


def loader_facts(loader: DataLoader[Any]) -> dict[str, int | None]:
    """What decides of which images the batches of a training are."""
    size = getattr(loader.batch_sampler, "batch_size", None)
    return dict(batches=len(loader), batch_size=size, processes=get_world_size())


def plain_values(value: Any) -> Any:
    """The same with history buffers and NumPy's types as tensors, lists and numbers."""
    if isinstance(value, dict):
        return {key: plain_values(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(inner) for inner in value]
    if isinstance(value, HistoryBuffer):
        history, count = (torch.from_numpy(array.copy()) for array in value.data)
        return {"history": history, "count": count, "max_length": value.max_length}
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return value


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
