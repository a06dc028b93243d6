"""Searching the supernet inside its own training run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from pinas_mm.engine.hooks import unwrapped
from pinas_mm.errors import UserError
from pinas_mm.registry import HOOKS


@HOOKS.register_module()
class ArchSearchHook(Hook):
    """Searches the supernet in training, at its end or every so many epochs.

    Each search has a folder of its own, ``search/epoch_N`` in the work dir, with record and report
    as ``tools/search.py`` writes them. One that was broken off is finished when the training
    resumes; weights that differ from those of an earlier training in the same folder are a search,
    and an Optuna study, of their own. The training goes on as if nothing had been searched:
    weights, statistics and random numbers are left as they were.

    Args:
        search: the ``search`` dict of ``configs/pinas_search.py``.
        interval: epochs between two searches; None searches once, after the last epoch.

    Raises:
        UserError: a setting is unknown; before the training, where they do not suit the model,
            images are missing, or the training is iteration-based and has no epochs.
    """

    # After the checkpoint hook: a kill in the middle of a search loses no training.
    priority = "LOWEST"

    def __init__(self, search: dict[str, Any], interval: int | None = None) -> None:
        # Imported where it is used: Optuna and scikit-learn would slow down every import.
        from pinas_mm.search.settings import SearchSettings

        if interval is not None and interval < 1:
            raise UserError(f"ArchSearchHook's interval is {interval}: at least 1, or None")
        self.settings, self.interval = SearchSettings.parse(search), interval

    def before_train(self, runner: Runner) -> None:
        """Checks the settings, and finishes the search that the run was broken off in."""
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            raise UserError(
                "ArchSearchHook counts epochs, and this training is iteration-based: train by "
                "epochs, or search afterwards by tools/search.py"
            )
        # A typing error must not show after the last epoch.
        from pinas_mm.search.samplers import build_sampler

        model = unwrapped(runner.model)
        self.settings.check(model)
        build_sampler(self.settings.sampler, model.backbone.space)
        self.settings.check_data()
        if 0 < runner.epoch < runner.max_epochs and self._is_due(runner.epoch, runner):
            self._search(runner, runner.epoch)

    def after_train_epoch(self, runner: Runner) -> None:
        """Searches where the interval says so."""
        if self._is_due(runner.epoch + 1, runner) and runner.epoch + 1 < runner.max_epochs:
            self._search(runner, runner.epoch + 1)

    def after_train(self, runner: Runner) -> None:
        """Searches the final supernet."""
        self._search(runner, runner.epoch)

    def _is_due(self, epoch: int, runner: Runner) -> bool:
        return self.interval is not None and epoch % self.interval == 0

    def _search(self, runner: Runner, epoch: int) -> None:
        from pinas_mm.search.display import Display
        from pinas_mm.search.search import Search, weights_digest

        folder = Path(runner.work_dir) / "search" / f"epoch_{epoch}"
        source = f"{runner.work_dir} after epoch {epoch}"
        model, settings = unwrapped(runner.model), self.settings
        if is_main_process():
            study = f"{settings.study}_epoch_{epoch}_{weights_digest(model)}"
            settings = dataclasses.replace(settings, study=study)
        search = Search(model, settings, folder, source)
        if is_main_process():
            # Other searches of the run would write to the same curves.
            with Display(search, runner.logger) as display:
                search.run(display)
            search.write()
            best = search.findings().best(1)
            for name, value in (best[0].metrics if best else {}).items():
                runner.visualizer.add_scalar(f"search/{name}", value, step=epoch)
        else:
            search.run()
        barrier()
