"""Searching the supernet inside its own training run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from pinas_mm.engine.runner_parts import dumped_config, unwrapped, within_epoch
from pinas_mm.errors import UserError
from pinas_mm.registry import HOOKS, plain
from pinas_mm.weights.digest import weights_digest


@HOOKS.register_module()
class ArchSearchHook(Hook):
    """Searches the supernet in training, at its end or every so many epochs or iterations.

    Each search has a folder of its own, ``search/epoch_N`` or ``search/iter_N`` in the work dir,
    with record and report as ``tools/search.py`` writes them. One that was broken off is finished
    when the training resumes; weights that differ from those of an earlier training in the same
    folder are a search, and an Optuna study, of their own. The training goes on as if nothing had
    been searched: weights, statistics and random numbers are left as they were.

    Args:
        search: the ``search`` dict of ``configs/pinas_search.py``. Loaders that it lacks, or only
            changes, are the training's, as for ``tools/search.py``.
        interval: epochs or iterations between two searches; None searches once, at the end. Where
            a checkpoint is due as well, it is written first.
        by_epoch: whether these are epochs; None counts as the training does, iterations in an
            iteration-based one.

    Raises:
        UserError: a setting is unknown, or asks for workers, since the training's own processes
            search; before the training, where they do not suit the model,
            images are missing, or epochs shall be counted in an iteration-based training.
    """

    # After the checkpoint hook: a kill in the middle of a search loses no training.
    priority = "LOWEST"

    def __init__(
        self, search: dict[str, Any], interval: int | None = None, by_epoch: bool | None = None
    ) -> None:
        # Imported where it is used: Optuna and scikit-learn would slow down every import.
        from pinas_mm.search import record  # noqa: F401  before the training: what is missing
        from pinas_mm.search.settings import SearchSettings

        if interval is not None and interval < 1:
            raise UserError(f"ArchSearchHook's interval is {interval}: at least 1, or None")
        # A typing error shows at once; the loaders are there with the runner.
        loaders: dict[str, Any] = dict(dataloader={}, calibration_dataloader={})
        self.settings, self.interval = SearchSettings.parse({**loaders, **search}), interval
        self.settings.check_alone("in a training its own processes search")
        self.by_epoch, self._search_config = by_epoch, plain(search)

    def before_train(self, runner: Runner) -> None:
        """Checks the settings, and finishes the search that the run was broken off in."""
        iterations = isinstance(runner.train_loop, IterBasedTrainLoop)
        if self.by_epoch and iterations:
            raise UserError(
                "ArchSearchHook has by_epoch=True, and this training is iteration-based and has no "
                "epochs: leave by_epoch out, and give interval in iterations"
            )
        self._epochs = not iterations if self.by_epoch is None else self.by_epoch
        # A typing error must not show after the last epoch.
        from pinas_mm.engine.run_search import search_loaders
        from pinas_mm.search.samplers import build_sampler
        from pinas_mm.search.settings import SearchSettings

        # Merging takes marks, as _delete_, out of what it merges.
        cfg = Config({**runner.cfg, "search": plain(self._search_config)})
        self.settings = SearchSettings.parse({**self._search_config, **search_loaders(cfg)})
        model = unwrapped(runner.model)
        self.settings.check(model)
        build_sampler(self.settings.sampler, model.backbone.space)
        self.settings.check_data()
        # In the middle of an epoch the weights are of none.
        if self._done(runner) and not (self._epochs and within_epoch(runner.train_loop)):
            self._search_if_due(runner, self._done(runner))

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Searches where iterations are counted and the interval says so."""
        if not self._epochs:
            self._search_if_due(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Searches where epochs are counted and the interval says so."""
        if self._epochs:
            self._search_if_due(runner, runner.epoch + 1)

    def after_train(self, runner: Runner) -> None:
        """Searches the final supernet."""
        self._search(runner, self._done(runner))

    def _done(self, runner: Runner) -> int:
        return runner.epoch if self._epochs else runner.iter

    def _search_if_due(self, runner: Runner, done: int) -> None:
        last = runner.max_epochs if self._epochs else runner.max_iters
        if self.interval is not None and done % self.interval == 0 and done < last:
            self._search(runner, done)

    def _search(self, runner: Runner, done: int) -> None:
        from pinas_mm.search.display import Display, add_pictures
        from pinas_mm.search.search import Search

        when = f"epoch_{done}" if self._epochs else f"iter_{done}"
        folder = Path(runner.work_dir) / "search" / when
        source = f"{runner.work_dir} after {'epoch' if self._epochs else 'iteration'} {done}"
        model, settings = unwrapped(runner.model), self.settings
        if is_main_process():
            study = f"{settings.study}_{when}_{weights_digest(model)}"
            settings = dataclasses.replace(settings, study=study)
        search = Search(model, settings, folder, source, dumped_config(runner))
        if is_main_process():
            # Other searches of the run would write to the same curves.
            with Display(search, runner.logger) as display:
                search.run(display)
            search.write()
            # Curves of a training are over its iterations.
            step = runner.iter if self._epochs else done
            best = search.findings().best(1)
            for name, value in (best[0].metrics if best else {}).items():
                runner.visualizer.add_scalar(f"search/{name}", value, step=step)
            add_pictures(runner.visualizer, folder, step)
        else:
            search.run()
        barrier()
