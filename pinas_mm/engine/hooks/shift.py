"""Feature and parameter shift, watched during training."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

from mmengine.hooks import Hook
from mmengine.runner import Runner

from pinas_mm.algorithms.base import SupernetAlgorithm
from pinas_mm.analysis.feature_shift import FEWEST_IMAGES, check_space
from pinas_mm.analysis.parameter_shift import MOTION, Snapshot
from pinas_mm.analysis.shift import Shifts, check_amounts, measure_shifts
from pinas_mm.engine.runner_parts import unwrapped
from pinas_mm.errors import UserError
from pinas_mm.registry import HOOKS
from pinas_mm.search.evaluation.images import load_batches


@HOOKS.register_module()
class ShiftHook(Hook):
    """Logs the shifts of a supernet in training (:mod:`pinas_mm.analysis.shift`).

    Scalars for the visualizer's backends are ``shift/feature/cosine`` and so on, means over the
    blocks, ``shift/feature/cosine/layer1.0`` and so on, and ``shift/time_share``, the share of the
    training's time that measuring took so far, which the log says too. The images are the same each
    time. The training goes on as if nothing had been measured: its losses are equal bit for bit.

    What a measurement costs is bounded by images and pairs: ``4 * pairs`` forward passes and
    ``pairs + candidates`` training steps over the images. On the CPU it keeps a copy of the blocks'
    parameters.

    Args:
        interval: iterations between two measurements.
        images: of the training set, drawn by the seed; in batches as the training's, of at least 4;
            what does not fill a last batch is left out.
        pairs: of paths that are compared at each block.
        seed: of images, views and paths.

    Raises:
        UserError: a number out of range; before the training, where the model is no supernet
            algorithm, its space has nothing to choose, or the config has no training images.
    """

    # After the checkpoint hook: a kill while it measures loses no training.
    priority = "LOWEST"

    def __init__(
        self, interval: int = 1000, images: int = 32, pairs: int = 4, seed: int = 0
    ) -> None:
        if interval < 1:
            raise UserError(f"ShiftHook's interval is {interval}: at least 1 iteration is allowed")
        check_amounts(pairs, seed, images)
        self.interval, self.images, self.pairs, self.seed = interval, images, pairs, seed

    def before_train(self, runner: Runner) -> None:
        """Loads the images."""
        self._begin = time.monotonic()
        model = supernet_algorithm(unwrapped(runner.model))
        self._data = training_batches(cast(Any, runner.cfg), self.images, self.seed)
        self._snapshot = Snapshot(model.backbone, runner.iter)
        self._spent = time.monotonic() - self._begin

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Measures where the interval says so."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        start, done = time.monotonic(), runner.iter + 1
        model = unwrapped(runner.model)
        shifts = measure_shifts(model, self._data, self.pairs, self.seed)
        moved = self._snapshot.motion(model.backbone, done)
        self._snapshot = Snapshot(model.backbone, done)
        shifts = Shifts(shifts.places, {**shifts.values, MOTION: moved})
        now = time.monotonic()
        self._spent += now - start
        share = self._spent / (now - self._begin)
        runner.visualizer.add_scalars({**scalars(shifts), "shift/time_share": share}, step=done)
        shown = ", ".join(f"{n} {v:.3g}" for n, v in shifts.overall().items() if v is not None)
        runner.logger.info(
            f"shifts after iteration {done}: {shown}; measuring took {share:.1%} of the time so far"
        )


def scalars(shifts: Shifts) -> dict[str, float]:
    """As they are logged: of each measure the mean, and that of each place."""
    found = {f"shift/{name}": value for name, value in shifts.overall().items()}
    for name in shifts.values:
        means = zip(shifts.places, shifts.means(name), strict=True)
        found |= {f"shift/{name}/{place}": value for place, value in means}
    return {name: value for name, value in found.items() if value is not None}


def supernet_algorithm(model: Any) -> SupernetAlgorithm:
    """The model, where shifts can be measured in it.

    Raises:
        UserError: it trains no supernet, or its space has nothing to choose.
    """
    if not isinstance(model, SupernetAlgorithm):
        raise UserError(
            f"shifts are those of a supernet, and the config's model is a {type(model).__name__}: "
            "give a pinas_mm.PiNAS or a pinas_mm.SinglePath"
        )
    check_space(model.backbone.space)
    return model


def training_batches(cfg: Mapping[str, Any], images: int, seed: int) -> list[dict[str, Any]]:
    """Images of the training set, drawn by a seed, as the training loads and collates them.

    Args:
        cfg: config with a ``train_dataloader``.
        images: how many.
        seed: of the choice, and of what is random in the pipeline.

    Raises:
        UserError: the config has no training set, or too few images.
    """
    loader = cfg.get("train_dataloader")
    if not loader:
        raise UserError("the config has no train_dataloader, of whose images shifts are measured")
    size = max(FEWEST_IMAGES, min(loader.get("batch_size") or 1, images))
    loader = {**loader, "batch_size": size, "sampler": {"shuffle": True}}
    return list(load_batches(loader, images, seed))
