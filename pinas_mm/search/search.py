"""A search from a trained model and a config to the best architectures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import torch
from mmengine.dist import get_world_size, is_main_process
from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.search.budget.additive_cost import AdditiveCost, additive_costs
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.constraint import Constraint
from pinas_mm.search.budget.latency import cached_latency
from pinas_mm.search.budget.objective import COSTS, Objective, parse_objectives
from pinas_mm.search.evaluation.build import build_evaluator, build_score
from pinas_mm.search.evaluation.memory import parse_bytes
from pinas_mm.search.record.findings import Findings
from pinas_mm.search.record.record import Record
from pinas_mm.search.report.report import write_report
from pinas_mm.search.samplers import build_sampler
from pinas_mm.search.settings import SearchSettings
from pinas_mm.search.worker import work
from pinas_mm.space.cost import CostTable

RECORD = "search.db"


class Search:
    """One search: everything is checked here before the first architecture is evaluated.

    In a distributed run all ranks make one; only rank 0 has the record.

    Args:
        model: a trained :class:`SupernetClassifier` or :class:`PiNAS`, on its device.
        settings: the ``search`` dict of a config, read.
        work_dir: where record and report go.
        checkpoint: where the model's weights come from, for the report.

    Attributes:
        evaluator: the :class:`~pinas_mm.search.evaluation.evaluator.Evaluator`.
        record: the :class:`~pinas_mm.search.record.record.Record`; None on other ranks than 0.

    Raises:
        UserError: settings that do not fit the model or the machine, a budget that no architecture
            meets, a record that cannot be written or is another search's.
    """

    def __init__(
        self, model: nn.Module, settings: SearchSettings, work_dir: str | Path, checkpoint: str = ""
    ) -> None:
        self.settings, self.work_dir, self.checkpoint = settings, Path(work_dir), checkpoint
        self.objectives = check_settings(settings, model)
        space = model.backbone.space
        self._latency: dict[str, Any] | None = None
        self.evaluator = build_evaluator(
            model,
            score=settings.score,
            dataloader=settings.dataloader,
            images=settings.images,
            calibration_dataloader=settings.calibration_dataloader,
            calibration_batches=settings.calibration_batches,
            memory=settings.memory,
            seed=settings.seed,
        )
        self.cost_table = CostTable(
            space, settings.image_size or self.evaluator.image_size, self._num_classes(model)
        )
        self.budget = Budget(space, self._costs(model), settings.constraints)
        self.record = self._open_record(model) if is_main_process() else None

    def run(
        self,
        told: Callable[[float], None] = lambda fraction: None,
        go_on: Callable[[], bool] = lambda: True,
    ) -> Findings | None:
        """Searches until the record is full; goes on where it ends.

        Args:
            told: called now and then with the share of the batch in work that is done, 0 to 1.
            go_on: asked before each batch; False ends this process's part.

        Returns:
            All that is found; None on other ranks than 0.
        """
        # Loaders and CUDA kernels may draw; a training that searches now and then must not notice.
        devices = {p.device for p in self.evaluator.backbone.parameters() if p.is_cuda}
        with torch.random.fork_rng(devices):
            work(
                self.record,
                self.evaluator,
                self.settings.batch,
                told,
                go_on,
                prunes=self.settings.pruner is not None,
            )
        return self.findings() if self.record else None

    def findings(self) -> Findings:
        """What is found so far."""
        return self.record.findings(self.checkpoint, _name(self.settings.sampler))

    def write(self) -> None:
        """Writes ``best.json``, ``best.txt``, ``search.html`` and its pictures to the work dir.

        Raises:
            UserError: the disk is full or the folder cannot be written; the record is not touched.
        """
        findings = self.findings()
        try:
            write_report(findings, self.work_dir, self.cost_table, number=self.settings.best)
        except OSError as error:
            raise UserError(
                f"the report in {self.work_dir} cannot be written ({error.strerror}): make room "
                "and run the same command, the record has what is finished"
            ) from error

    def _num_classes(self, model: nn.Module) -> int:
        if self.settings.num_classes is not None:
            return self.settings.num_classes
        return getattr(model.head, "num_classes", 0)

    def _costs(self, model: nn.Module) -> list[AdditiveCost]:
        costs = additive_costs(self.cost_table)
        named = {objective.name for objective in self.objectives}
        named |= {Constraint.parse(constraint).name for constraint in self.settings.constraints}
        if self.settings.latency is None and "latency" not in named:
            return costs
        options = dict(self.settings.latency or {})
        options.setdefault("image_size", self.settings.image_size or self.evaluator.image_size)
        device = next(model.parameters()).device
        table = cached_latency(
            self.work_dir / "latency.json", model.backbone.space, device=device, **options
        )
        self._latency = {key: value for key, value in table.setting.items() if key != "space"}
        return [*costs, table.additive()]

    def _open_record(self, model: nn.Module) -> Record:
        settings = self.settings
        sampler = build_sampler(
            settings.sampler, model.backbone.space, self.budget, self.objectives, settings.seed
        )
        return Record(
            url=settings.storage or f"sqlite:///{(self.work_dir / RECORD).resolve()}",
            study=settings.study,
            objectives=self.objectives,
            budget=self.budget,
            sampler=sampler,
            identity=self._identity(model),
            trials=settings.trials,
            pruner=_build_pruner(settings.pruner),
            heartbeat=settings.heartbeat,
            grace=settings.grace,
        )

    def _identity(self, model: nn.Module) -> dict[str, Any]:
        """What makes evaluations comparable; budget, sampler and number of trials may differ."""
        settings = self.settings
        objective = any(objective.name == "latency" for objective in self.objectives)
        return dict(
            space=model.backbone.space.to_dict(),
            checkpoint=weights_digest(model),
            objectives=[str(objective) for objective in self.objectives],
            score=_options(settings.score),
            images=settings.images,
            dataloader=_of_images(settings.dataloader),
            calibration_batches=settings.calibration_batches,
            calibration_dataloader=_of_images(settings.calibration_dataloader),
            image_size=list(self.evaluator.image_size),
            costs=dict(image_size=settings.image_size, num_classes=self._num_classes(model)),
            latency=self._latency if objective else None,
            seed=settings.seed,
        )


def check_settings(settings: SearchSettings, model: nn.Module) -> tuple[Objective, ...]:
    """Checks all that needs no image and no measurement, and returns the objectives.

    Raises:
        UserError: the settings contradict each other or do not suit the model, or something named
            in them is unknown.
    """
    objectives = parse_objectives(settings.objectives)
    score = build_score(settings.score)
    score.check(model)
    if score.names is not None:
        known = (*score.names, *COSTS)
        unknown = [objective.name for objective in objectives if objective.name not in known]
        if unknown:
            raise UserError(
                f"objective {', '.join(unknown)} is not among what "
                f"{_name(settings.score)} gives: {', '.join(known)}"
            )
    if all(objective.name in COSTS for objective in objectives):
        raise UserError("the objectives are costs alone, which need no search: add a metric")
    if _build_pruner(settings.pruner) is not None:
        if len(objectives) > 1:
            raise UserError("pruning compares one metric: give one objective, or no pruner")
        if get_world_size() > 1:
            raise UserError(
                "pruning compares all architectures after each batch, but ranks take different "
                "ones: search without a pruner, or by --workers instead of --launcher"
            )
    for constraint in settings.constraints:
        Constraint.parse(constraint)
    build_sampler(settings.sampler, model.backbone.space, None, objectives, settings.seed)
    parse_bytes(settings.memory)
    return objectives


def weights_digest(model: nn.Module) -> str:
    """SHA-256 of a model's weights, the same wherever their file lies; 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _of_images(dataloader: Mapping[str, Any]) -> dict[str, Any]:
    """What decides which images a loader gives, wherever their folder lies on this machine."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(inner) for key, inner in value.items() if key != "data_root"}
        if isinstance(value, (list, tuple)):
            return [plain(inner) for inner in value]
        return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)

    names = ("dataset", "batch_size", "collate_fn")
    return {name: plain(dataloader[name]) for name in names if name in dataloader}


def _build_pruner(config: str | dict[str, Any] | None) -> optuna.pruners.BasePruner | None:
    if config is None:
        return None
    options = _options(config)
    name = options.pop("type", None)
    known = sorted(n for n in optuna.pruners.__all__ if n.endswith("Pruner") and n != "BasePruner")
    if name not in known:
        raise UserError(f"pruner {name} is unknown: Optuna has {', '.join(known)}")
    try:
        return getattr(optuna.pruners, name)(**options)
    except (TypeError, ValueError) as error:
        raise UserError(f"pruner {name} does not take {options}: {error}") from None


def _options(config: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"type": config} if isinstance(config, str) else dict(config)


def _name(config: str | Mapping[str, Any]) -> str:
    return str(_options(config).get("type", "")).rpartition(".")[2]
