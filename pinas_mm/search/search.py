"""A search from a trained model and a config to the best architectures."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from mmengine.dist import is_main_process
from torch import nn

from pinas_mm.algorithms.single_path import SinglePath
from pinas_mm.data.roots import USUAL, VARIABLE
from pinas_mm.errors import UserError
from pinas_mm.files import file_sha256
from pinas_mm.models.cost import count_costs
from pinas_mm.models.following import network_in
from pinas_mm.models.network import BUILT_BY, CHANNELS_LAST
from pinas_mm.registry import dicts
from pinas_mm.search.budget.budget import Budget
from pinas_mm.search.budget.latency_file import cached_latency
from pinas_mm.search.budget.latency_options import LatencyOptions
from pinas_mm.search.budget.objective import LATENCY, cost_names
from pinas_mm.search.evaluation.images import Batches, load_batches, shuffles
from pinas_mm.search.record.record import Record
from pinas_mm.search.report.report import Report
from pinas_mm.search.report.shown import ShownFindings
from pinas_mm.search.samplers import ArchSampler, build_sampler
from pinas_mm.search.settings import SearchSettings, options_of
from pinas_mm.search.worker import work
from pinas_mm.space.cost import AdditiveCost
from pinas_mm.weights.digest import weights_digest

# Costs that are counted whether or not somebody asked for them.
ALWAYS = ("params", "macs")
RECORD = "search.db"


class Search:
    """One search: everything is checked here before the first architecture is evaluated.

    In a distributed run all ranks make one; only rank 0 has the record.

    Args:
        model: a trained :class:`SinglePath` or :class:`PiNAS`, on its device.
        settings: the ``search`` dict of a config, read.
        work_dir: where record and report go.
        checkpoint: where the model's weights come from, for the report; of a file its absolute
            path.
        config: file of the config, for the report's commands; None leaves it out of them.
        loaded: of :func:`~pinas_mm.search.evaluation.build.build_evaluator`.

    Attributes:
        evaluator: the :class:`~pinas_mm.search.evaluation.evaluator.Evaluator`.
        record: the :class:`~pinas_mm.search.record.record.Record`; None on other ranks than 0.

    Raises:
        UserError: settings that do not fit the model or the machine, a budget that no architecture
            meets, a record that cannot be written or is another search's.
    """

    def __init__(
        self,
        model: Any,
        settings: SearchSettings,
        work_dir: str | Path,
        checkpoint: str = "",
        config: str | Path | None = None,
        loaded: Mapping[str, Batches] | None = None,
    ) -> None:
        self.settings, self.work_dir, self.checkpoint = settings, Path(work_dir), checkpoint
        self.config = config
        file = is_main_process() and Path(checkpoint).is_file()
        self._sha256 = file_sha256(checkpoint) if file else ""
        settings.check(model)
        self.objectives, space = settings.objectives, model.backbone.space
        # It knows no budget yet: what it is told wrongly is said before images are read.
        self.sampler = build_sampler(settings.sampler, space, None, self.objectives, settings.seed)
        self._latency: dict[str, Any] | None = None
        self.evaluator = settings.evaluator(model, loaded)
        named = {o.name for o in self.objectives} | {c.name for c in settings.constraints}
        names = tuple(dict.fromkeys([*ALWAYS, *sorted(named & set(cost_names()) - {LATENCY})]))
        size, classes = settings.image_size or self.evaluator.image_size, self._num_classes(model)
        # What the predictions of an architecture go through; heads for training cost nothing then.
        whole = isinstance(model, SinglePath) and settings.num_classes is None
        self._whole: Any = model.model if whole else None
        self.cost_table = (
            count_costs(model.model, size, names=names)
            if whole
            else count_costs(model.backbone, size, classes, names=names)
        )
        self._costs: dict[str, Any] = dict(image_size=settings.image_size, num_classes=classes)
        if whole and not self._is_linear(size, classes):
            self._costs["counted"] = self.cost_table.counted
        self._facts = {"Costs": f"of the {self.cost_table.counted}"}
        costs = list(self.cost_table.costs.values())
        if settings.latency is not None or LATENCY in named:
            costs.append(self._measured(model))
        self.budget = Budget(space, costs, settings.constraints)
        cast(ArchSampler, self.sampler).budget = self.budget
        self.record = self._open_record(model) if is_main_process() else None

    def run(
        self,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> ShownFindings | None:
        """Searches until the record is full; goes on where it ends.

        Args:
            progress: called now and then with the share of the batch in work that is done, 0 to 1.

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
                progress,
                prunes=self.settings.pruner is not None,
            )
        return self.findings() if self.record else None

    def findings(self, patience: float | None = None) -> ShownFindings:
        """What is found so far.

        Args:
            patience: seconds that the database may be away; None is the settings'
                ``storage_timeout``.
        """
        sampler = options_of(self.settings.sampler).get("type", "")
        name = str(sampler).rpartition(".")[2]
        return ShownFindings.of(
            cast(Record, self.record).findings(self.checkpoint, name, patience), self.cost_table
        )

    def write(self, patience: float | None = None) -> None:
        """Writes ``best.json``, ``best.txt``, ``search.html`` and its pictures to the work dir.

        Args:
            patience: as for :meth:`findings`.

        Raises:
            UserError: the disk is full or the folder cannot be written; the record is not touched.
        """
        report = self.report(patience)
        try:
            report.write()
        except OSError as error:
            raise UserError(
                f"the report in {self.work_dir} cannot be written ({error.strerror}): make room "
                "and run the same command, the record has what is finished"
            ) from error

    def report(self, patience: float | None = None) -> Report:
        """What the report of all that is found so far is made of.

        Args:
            patience: as for :meth:`findings`.
        """
        backbone = self.evaluator.backbone
        return Report(
            self.findings(patience),
            self.work_dir,
            self.cost_table,
            number=self.settings.best,
            sha256=self._sha256,
            facts=self._facts,
            config=self.config,
            placed={name: getattr(backbone, name) for name in ("strides", "dilations")},
        )

    def _num_classes(self, model: Any) -> int:
        if self.settings.num_classes is not None:
            return self.settings.num_classes
        head = getattr(getattr(model, "model", model), "head", None)
        return getattr(head, "num_classes", 0)

    def _is_linear(self, size: Sequence[int] | int, classes: int) -> bool:
        """Whether what follows the backbone costs what a linear classifier does."""
        names = tuple(self.cost_table.costs)
        linear = count_costs(network_in(self._whole), size, classes, names=names)
        return all(linear[name].fixed == self.cost_table[name].fixed for name in names)

    def _measured(self, model: Any) -> AdditiveCost:
        backbone, options = model.backbone, dict(self.settings.latency or {})
        options.setdefault("image_size", self.settings.image_size or self.evaluator.image_size)
        for name in BUILT_BY:
            options.setdefault(name, getattr(backbone, name))
        options["device"] = options.get("device", next(model.parameters()).device)
        image = None
        if self._whole is not None:
            # A detector's time depends on what there is to detect.
            (batch,) = load_batches(self.settings.dataloader, 1, self.settings.seed)
            image = model.data_preprocessor(batch, False)["inputs"][0]
        file, wanted = self.work_dir / "latency.json", LatencyOptions.build(options)
        table = cached_latency(file, backbone.space, wanted, self._whole, image)
        setting = table.setting
        self._latency = {key: value for key, value in setting.items() if key != "space"}
        what = "backbone" if self._whole is None else f"whole {type(self._whole).__name__}"
        fact = f"of the {what} on {setting['device']}, batch size {setting['batch_size']}"
        if table.error is not None:
            fact += f"; whole architectures that were timed are {table.error:.1%} off (median)"
        self._facts["Latency"] = fact
        return table.additive()

    def _open_record(self, model: Any) -> Record:
        settings = self.settings
        return Record(
            url=settings.storage or (self.work_dir / RECORD).resolve(),
            study=settings.study,
            objectives=self.objectives,
            budget=self.budget,
            sampler=self.sampler,
            identity=self._identity(model),
            trials=settings.trials,
            pruner=copy.deepcopy(settings.pruner),
            heartbeat=settings.heartbeat,
            grace=settings.grace,
            patience=settings.storage_timeout,
        )

    def _identity(self, model: Any) -> dict[str, Any]:
        """What makes evaluations comparable; budget, sampler and number of trials may differ."""
        settings = self.settings
        objective = any(objective.name == LATENCY for objective in self.objectives)
        identity = dict(
            space=model.backbone.space.to_dict(),
            checkpoint=weights_digest(model),
            model=_of_model(model),
            objectives=[str(objective) for objective in self.objectives],
            score=settings.score_config,
            images=settings.images,
            dataloader=_of_images(settings.dataloader),
            calibration_batches=settings.calibration_batches,
            calibration_dataloader=_of_images(settings.calibration_dataloader),
            image_size=list(self.evaluator.image_size),
            costs=self._costs,
            latency=self._latency if objective else None,
            seed=settings.seed,
        )
        # Left out where it is 0, as earlier records have it.
        if self.evaluator.score.version:
            identity["score_version"] = self.evaluator.score.version
        # All of it, also what a score was given: a record that cannot take it counts as damaged.
        return _plain(identity, _roots(settings.dataloader, settings.calibration_dataloader))


def _roots(*dataloaders: Mapping[str, Any]) -> list[str]:
    """Folders that data sets lie in on this machine, the innermost first."""
    said = [part.get("data_root") for loader in dataloaders for part in dicts(loader)]
    roots = {str(root).rstrip("/") for root in (*said, os.environ.get(VARIABLE, USUAL)) if root}
    return sorted(roots, key=len, reverse=True)


def _of_images(dataloader: Mapping[str, Any]) -> dict[str, Any]:
    """What decides which images a loader gives, wherever their folder lies on this machine."""
    names = ("dataset", "batch_size", "collate_fn")
    found = {name: _plain(dataloader[name]) for name in names if name in dataloader}
    # Of a score without calibration there is none.
    return found and found | dict(shuffle=shuffles(dataloader.get("sampler") or {}))


def _of_model(model: Any) -> dict[str, Any]:
    """What decides a model's predictions and is not among its weights."""
    # Those of training decide no prediction.
    parts = (
        (name, part)
        for name, part in model.data_preprocessor.named_modules()
        if not name.startswith("batch_augments")
    )
    network = {name: _plain(getattr(model.backbone, name)) for name in BUILT_BY}
    if network["memory_format"] == CHANNELS_LAST:
        # As in records of before it could be another.
        del network["memory_format"]
    return dict(
        network=network,
        preprocessor={name or "itself": _said_by(part) for name, part in parts},
        test_cfg=_plain(getattr(getattr(model, "model", model), "test_cfg", None)),
    )


_OF_TRAINING = ("training", "batch_augments")
# Of mmengine's preprocessors, whose other private attributes say nothing of images.
_OF_IMAGES = ("_channel_conversion", "_enable_normalize")


def _said_by(part: nn.Module) -> dict[str, Any]:
    """A module's plain attributes, and the buffers that are in no checkpoint."""
    attributes = {
        name: value
        for name, value in vars(part).items()
        if (not name.startswith("_") or name in _OF_IMAGES) and name not in _OF_TRAINING
    }
    unsaved = {name: part.get_buffer(name) for name in part._non_persistent_buffers_set}
    return {name: _plain(value) for name, value in sorted((attributes | unsaved).items())}


def _plain(value: Any, roots: Sequence[str] = ()) -> Any:
    """As JSON can have it, the same in all processes and on all machines.

    Args:
        roots: folders that paths are told from, see :func:`_roots`.
    """
    if isinstance(value, Mapping):
        rest = {key: inner for key, inner in value.items() if key != "data_root"}
        return {str(_plain(key)): _plain(inner, roots) for key, inner in rest.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, roots) for inner in value]
    if isinstance(value, (str, Path)):
        text = os.fspath(value)
        root = next((root for root in roots if text.startswith(f"{root}/")), None)
        return text if root is None else text[len(root) + 1 :]
    if isinstance(value, (int, float, bool, type(None))):
        return value
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return value.tolist()
    if hasattr(value, "__qualname__"):
        # A class or a function, as new configs have them for types.
        return f"{value.__module__}.{value.__qualname__}"
    # Where an object lies in memory is another place in each process.
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
