"""Going on from a checkpoint: a resumed run is the unbroken one, or says in a line what is not."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from pinas_mm.analysis.unchanged import random_numbers_kept
from pinas_mm.compat import skip_no_batches
from pinas_mm.data.remaining_batches import RemainingBatches
from pinas_mm.ending import process_rank
from pinas_mm.engine.hooks.safe_checkpoint import loader_facts, plain_values
from pinas_mm.engine.resumed_settings import ResumedSettings
from pinas_mm.engine.runner_parts import unwrapped
from pinas_mm.errors import UserError
from pinas_mm.export.subnet import take_facts
from pinas_mm.registry import dicts


def prepare(cfg: Config, checkpoint: Mapping[str, Any], trains: bool) -> None:
    """Gives a config what its checkpoint says, before anything is built from it.

    A resumed run has its own seed, which mmengine would take after the loaders had theirs. What is
    resumed or tested does not need the file that its network was once initialized from: where the
    config leaves architecture or space to that, the checkpoint says them.

    Args:
        cfg: with ``load_from`` and ``resume``; changed in place.
        checkpoint: what ``load_from`` holds.
        trains: whether the run trains.

    Raises:
        UserError: it shall be resumed and has no training to go on with.
    """
    meta = checkpoint.get("meta")
    meta = meta if isinstance(meta, Mapping) else {}
    if cfg.resume:
        _check_resumable(checkpoint, meta, cfg.load_from)
        if type(meta.get("seed")) is int:
            randomness = cfg.setdefault("randomness", ConfigDict())
            if randomness.get("seed") not in (None, meta["seed"]):
                text = f"the resumed run's seed is {meta['seed']}, {randomness.seed} is not taken"
                if not process_rank():
                    print_log(text, "current")
            randomness.seed = meta["seed"]
    if cfg.resume or not trains:
        take_facts(cfg, meta)


def _check_resumable(checkpoint: Mapping[str, Any], meta: Mapping[str, Any], path: str) -> None:
    instead = f"start from them with --cfg-options load_from={path}"
    if not all(type(meta.get(name)) is int and meta[name] >= 0 for name in ("iter", "epoch")):
        raise UserError(f"checkpoint {path} holds weights but no training to resume: {instead}")
    if "optimizer" not in checkpoint:
        raise UserError(
            f"checkpoint {path} holds weights but no optimizer's state, as the best ones do, so "
            f"that the resumed run would be another: resume from the last one, or {instead}"
        )


def go_on(runner: Runner, meta: Mapping[str, Any]) -> Runner:
    """Has a runner, which resumes, train on what is left of its data, as the unbroken run would.

    Args:
        runner: just built; its train loop is not.
        meta: of the checkpoint that it resumes.
    """
    runner.register_hook(ResumeHook())
    kind, loader = _loop_type(cast(Any, runner._train_loop)), runner._train_dataloader
    if not isinstance(loader, dict):
        return runner
    if not issubclass(kind, (EpochBasedTrainLoop, IterBasedTrainLoop)):
        runner.logger.warning(f"resumed: a {kind.__name__} begins its data anew")
        return runner
    # A copy: the config that is written down is not that of a resumed run.
    loader = dict(loader)
    loader["batch_sampler"] = dict(
        type="pinas_mm.RemainingBatches",
        iteration=meta["iter"],
        epoch=meta["epoch"] if issubclass(kind, EpochBasedTrainLoop) else None,
        length=(meta.get("train_loader") or {}).get("batches"),
        drop_last=loader.pop("drop_last", False),
        batch_sampler=loader.get("batch_sampler"),
    )
    runner._train_dataloader = loader
    return runner


def _loop_type(loop: dict[str, Any]) -> Any:
    if "type" in loop:
        return loop["type"] if isinstance(loop["type"], type) else LOOPS.get(loop["type"])
    return EpochBasedTrainLoop if loop.get("by_epoch", True) else IterBasedTrainLoop


class ResumeHook(Hook):
    """Makes a resumed run the unbroken one; :func:`go_on` registers it.

    The model does not ask for files it was once initialized from. Schedules and the optimizer's
    settings are the config's (:class:`~pinas_mm.engine.resumed_settings.ResumedSettings`), momenta
    and counters the checkpoint's. An epoch that was broken off goes on with the batches that were
    left, numbered as they were. What cannot be the same is said: other batches, gradients of an
    accumulation that was broken off, and random numbers drawn from the state of a process, which a
    checkpoint does not hold.
    """

    priority = "LOWEST"

    def __init__(self) -> None:
        self.settings = ResumedSettings()
        self._drawing: list[str] = []
        self._states: list[bytes] | None = None

    def before_run(self, runner: Runner) -> None:
        """All weights come from the checkpoint: initializers that read files are dropped."""
        for module in unwrapped(runner.model).modules():
            drop_files(module)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compares what the checkpoint was trained with."""
        meta = checkpoint["meta"]
        loader = runner.train_dataloader
        metainfo = getattr(loader.dataset, "metainfo", None)
        # mmengine warns where they are pickled otherwise, as tuples and arrays are that became
        # lists.
        if meta.get("dataset_meta") == plain_values(metainfo):
            meta["dataset_meta"] = metainfo
        before, now = meta.get("train_loader"), loader_facts(loader)
        if isinstance(before, Mapping) and before != now:
            changed = ", ".join(
                f"{name} {value} (was {before.get(name)})"
                for name, value in now.items()
                if before.get(name) != value
            )
            runner.logger.info(f"resumed with other batches than the unbroken run's: {changed}")
        self.settings.take(runner, checkpoint)

    def before_train(self, runner: Runner) -> None:
        """Brings schedules and data to where the run was broken off."""
        self.settings.replay(runner)
        _say_lost_gradients(runner)
        loop: Any = runner.train_loop
        batches = loop.dataloader.batch_sampler
        if not isinstance(batches, RemainingBatches):
            return
        if isinstance(loop, IterBasedTrainLoop):
            skip_no_batches(loop)
        elif batches.skipped:
            run_iter = loop.run_iter
            loop.run_iter = lambda index, data: run_iter(index + batches.skipped, data)
        self._drawing = ["images are augmented"] if _loads_at_random(loop, batches) else []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Remembers what random numbers come next."""
        if self._states is None:
            self._states = _random_states()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Says once what is drawn otherwise than in the unbroken run."""
        if not self._states:
            return
        if self._states != _random_states():
            self._drawing.append("the model draws (dropout, sampling)")
        self._states = []
        if self._drawing:
            runner.logger.info(
                f"resumed at iteration {runner.iter + 1}: {' and '.join(self._drawing)} by random "
                "numbers that no checkpoint holds; they are others than the unbroken run's"
            )

    def after_train_epoch(self, runner: Runner) -> None:
        """The next epoch is a whole one."""
        vars(runner.train_loop).pop("run_iter", None)


def _say_lost_gradients(runner: Runner) -> None:
    """A checkpoint holds no gradients: those of an accumulation that was broken off are lost."""
    wrapper: Any = runner.optim_wrapper
    wrappers = [one for _, one in wrapper.items()] if hasattr(wrapper, "items") else [wrapper]
    counts = {int(getattr(one, "_accumulative_counts", 1)) for one in wrappers}
    for count in sorted(counts):
        if lost := runner.iter % count:
            runner.logger.info(
                f"resumed at iteration {runner.iter + 1}, within an accumulation of {count} "
                f"batches: the gradients of the first {lost} are lost, and the next step is of "
                f"{count - lost}; let checkpoints be written every multiple of {count} iterations"
            )


def drop_files(module: Any) -> None:
    """Leaves a module's initializers that need no file."""
    init_cfg = getattr(module, "init_cfg", None)
    entries = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    kept = [entry for entry in entries if not any("checkpoint" in part for part in dicts(entry))]
    if len(kept) < len(entries):
        module.init_cfg = kept if isinstance(init_cfg, (list, tuple)) else None


def _loads_at_random(loop: Any, batches: RemainingBatches) -> bool:
    """Whether the data pipeline draws what it would not have drawn in the unbroken run."""
    loader: DataLoader[Any] = loop.dataloader
    whole = isinstance(loop, EpochBasedTrainLoop) and not batches.skipped
    if whole and loader.num_workers and not loader.persistent_workers:
        return False  # mmengine seeds the workers of every epoch alike.
    before = _random_states()
    with random_numbers_kept(range(torch.cuda.device_count())):
        loader.dataset[0]
        return before != _random_states()


def _random_states() -> list[bytes]:
    """Where the process's own generators stand."""
    state: Any = np.random.get_state()
    _, keys, place, *_ = state
    states = [repr(random.getstate()).encode(), keys.tobytes(), str(place).encode()]
    tensors = [torch.get_rng_state()]
    if torch.cuda.is_available():
        tensors += torch.cuda.get_rng_state_all()
    return states + [bytes(tensor.numpy()) for tensor in tensors]
