"""``tools/search.py`` behind its command line."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.logging import MMLogger, print_log
from mmengine.registry import RUNNERS, init_default_scope
from mmengine.runner import Runner
from rich.console import Console
from rich.text import Text

from pinas_mm.analysis.unchanged import seed_all
from pinas_mm.data.annotations import check_data_sets
from pinas_mm.engine.launch import build_runner
from pinas_mm.engine.runner_parts import dumped_config, unwrapped
from pinas_mm.errors import UserError
from pinas_mm.export.stand_alone_config import without_loads
from pinas_mm.export.statistics import calibration_loader, changed_loader, stands_alone
from pinas_mm.export.subnet import network_config
from pinas_mm.files import check_writable
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.search.budget.objective import Objective, check_given, cost_names
from pinas_mm.search.display import Display, add_pictures
from pinas_mm.search.evaluation.evaluator import Evaluator
from pinas_mm.search.evaluation.scores import ArchScore
from pinas_mm.search.record.reading import as_score
from pinas_mm.search.report.shown import ShownFindings
from pinas_mm.search.report.text import printable
from pinas_mm.search.search import Search
from pinas_mm.search.settings import SearchSettings
from pinas_mm.search.workers import handed_images, helpers, stoppable
from pinas_mm.space.arch import read_archs
from pinas_mm.weights.checkpoint import UNTRAINED


def run_search(
    cfg: Config,
    checkpoint: str,
    given: Mapping[str, Any] | None = None,
    command: Sequence[str] = (),
    worker: int = 0,
) -> ShownFindings | None:
    """Runs a search, or one more worker of it.

    Args:
        cfg: config with model, work_dir and ``search``.
        checkpoint: of the trained model, a file or a work dir; ``untrained`` is the model without a
            training, its weights drawn by the search's seed. Its blocks then begin as in
            stand-alone networks, and not as their shortcuts alone, by which all paths were equal.
        given: settings that go before those of ``search``.
        command: command line that starts another worker on this machine, where the settings ask
            for several.
        worker: 0 for the process that shows and reports, else a joining worker's number.

    Returns:
        What is found; None for joining workers and other ranks than 0.

    Raises:
        UserError: anything that the user can mend.
    """
    work_dir = Path(cfg.work_dir)  # A joining worker's logs go elsewhere.
    settings, runner = _prepared(cfg, checkpoint, given or {}, worker)
    # The file, since a work dir's last checkpoint may be another one tomorrow.
    named = checkpoint == UNTRAINED or "://" in str(checkpoint)
    source = checkpoint if named else Path(cfg.load_from).resolve()
    search = Search(
        unwrapped(runner.model),
        settings,
        work_dir,
        str(source),
        dumped_config(runner),
        handed_images() if worker else None,
    )
    launched = bool(worker) or cfg.get("launcher", "none") != "none"
    with stoppable(follows=launched and not settings.keep_workers):
        if worker:
            search.run()
            return None
        if not is_main_process():
            search.run()
            barrier()
            return None
        others, logs = settings.workers - 1, work_dir / "workers"
        with (
            search.evaluator.shared() if others else contextlib.nullcontext() as images,
            helpers(command, others, logs, settings.keep_workers, images),
            Display(search, runner.logger, runner.visualizer) as display,
        ):
            search.run(display)
    search.write()
    barrier()
    findings = search.findings()
    add_pictures(runner.visualizer, work_dir, findings.states["complete"])
    # Event files are written by a thread that does not outlive the process.
    runner.visualizer.close()
    console = Console()
    console.print(findings)
    done = findings.states["complete"] + findings.states["pruned"]
    if done < settings.trials:
        console.print(f"{done} of {settings.trials}: there are no more within the budget")
    written = f"{printable(str(work_dir))}/: search.html, best.json, best.txt, figures/"
    console.print(Text(written), soft_wrap=True)
    return findings


def evaluate(
    cfg: Config, checkpoint: str, archs: Sequence[Any], metric: str | None = None
) -> tuple[Evaluator, Objective, list[dict[str, float]]]:
    """Scores architectures as a search of a config would.

    Args:
        cfg, checkpoint: as for :func:`run_search`.
        archs: in any form that :meth:`SearchSpace.arch` reads; one alone will do.
        metric: one that the score must give, as :func:`as_score` reads it; None is the search's
            first objective that is no cost.

    Returns:
        The evaluator; the metric with its direction; all metrics of each architecture.

    Raises:
        UserError: anything that the user can mend.
    """
    settings, runner = _prepared(cfg, checkpoint, {}, 0)
    model = unwrapped(runner.model)
    settings.check(model)
    if metric:
        wanted = as_score(metric, settings.objectives)
    else:
        wanted = next(o for o in settings.objectives if o.name not in cost_names())
    archs = read_archs(archs, model.backbone.space)
    evaluator = settings.evaluator(model)
    metrics: list[dict[str, float]] = []
    check_given(wanted.name, dict.fromkeys(evaluator.names, 0.0))
    for start in range(0, len(archs), settings.batch):
        metrics += evaluator.evaluate(archs[start : start + settings.batch])
        check_given(wanted.name, metrics[-1])
        print_log(f"{len(metrics)} of {len(archs)} architectures scored", "current")
    return evaluator, wanted, metrics


def search_loaders(cfg: Config) -> dict[str, Any]:
    """The search's loaders: the validation's and its calibration's, unless it has whole ones.

    Raises:
        UserError: one's data set is a number, a text or a list.
    """
    # Those of the export, which takes the very batches of the search.
    keys = ("val_cfg", "test_cfg", "train_dataloader", "model")
    calibrating = {key: cfg[key] for key in keys if key in cfg}
    usual = dict(dataloader=cfg.get("val_dataloader"))
    with contextlib.suppress(UserError):
        _, usual["calibration_dataloader"] = calibration_loader(Config(calibrating))
    loaders = {}
    for name, loader in usual.items():
        own = cfg.search.get(name) or {}
        if not stands_alone(own, f"search.{name}") and loader:
            loaders[name] = changed_loader(loader, own)
    return loaders


def _prepared(
    cfg: Config, checkpoint: str, given: Mapping[str, Any], worker: int
) -> tuple[SearchSettings, Runner]:
    """The settings, checked as far as they can be before the model is there, and the model."""
    if not cfg.get("search"):
        raise UserError("the config has no `search`: start from configs/pinas_search.py")
    cfg.search = {**cfg.search, **search_loaders(cfg), **given}
    # Of its library are the metrics that a score names.
    init_default_scope(cfg.get("default_scope") or "mmpretrain")
    settings = SearchSettings.parse(cfg.search)
    if settings.workers > 1 and cfg.get("launcher", "none") != "none":
        raise UserError(
            f"--workers {settings.workers} with --launcher {cfg.launcher}: the launcher starts the "
            "processes already; leave one of the two out"
        )
    check_writable(Path(cfg.work_dir), "--work-dir")
    looked = dict(cfg.items())
    if isinstance(settings.score, ArchScore):
        # What only recalibration reads need not be there.
        looked |= dict(search=dict(dataloader=cfg.search.dataloader), val_cfg=None)
    check_data_sets(looked, ["search"])
    if checkpoint == UNTRAINED:
        if Path(UNTRAINED).exists():
            print_log(
                f"{UNTRAINED} means weights drawn by the seed; the file or folder of this name "
                f"here is ./{UNTRAINED}",
                "current",
            )
        return settings, _untrained_runner(cfg, settings.seed, worker)
    return settings, loaded_runner(cfg, checkpoint, worker)


def loaded_runner(cfg: Config, checkpoint: str, worker: int = 0) -> Runner:
    """A runner whose model has a checkpoint's weights, for work that reads no data set by it."""
    # The checkpoint has all weights: what the model was initialized from need not be there.
    network_config(cfg).pop("init_cfg", None)
    cfg.load_from = str(checkpoint)
    runner = _runner(cfg, worker)
    runner.load_or_resume()
    return runner


def _untrained_runner(cfg: Config, seed: int, worker: int) -> Runner:
    """A runner whose model's weights are drawn by a seed, the same in all processes."""
    cfg.load_from = None
    without_loads(cfg.model)
    # What a constructor draws and no initialization replaces, as a queue, is by the seed too.
    cfg.randomness = {**(cfg.get("randomness") or {}), "seed": seed, "diff_rank_seed": False}
    runner = _runner(cfg, worker)
    model = unwrapped(runner.model)
    for network in model.modules():
        if isinstance(network, PiNASSupernet):
            network.zero_init_last = False
    seed_all(seed)
    model.init_weights()
    return runner


def _runner(cfg: Config, worker: int) -> Runner:
    cfg.resume = False
    # They belong to a training's loops: mmengine's EMAHook cannot load weights before one begins.
    # The weights that it saved are the averages.
    cfg.custom_hooks = None
    if worker:
        cfg.work_dir = str(Path(cfg.work_dir) / "workers" / str(worker))
        cfg.visualizer = None
    cfg.setdefault("runner_type", BriefRunner.__name__)
    runner = build_runner(cfg, splits=[])
    runner.logger.info(f"config, environment and hooks: {runner.logger.log_file}")
    return runner


@RUNNERS.register_module()
class BriefRunner(Runner):
    """mmengine's runner; of what it logs over many lines the terminal is spared, the file has it:
    hundreds of lines of config and hooks that a search does not run.
    """

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """mmengine's method."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(_is_brief)
        return logger


def _is_brief(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or "\n" not in record.getMessage()
