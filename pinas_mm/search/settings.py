"""The ``search`` dict of a config, read once."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from mmengine.dist import get_world_size
from torch import nn

from pinas_mm.data.checks import check_data
from pinas_mm.errors import UserError
from pinas_mm.machine import usable_cores
from pinas_mm.models.batch_norm import CALIBRATION_BATCHES
from pinas_mm.search.budget.constraint import Constraint
from pinas_mm.search.budget.objective import Objective, cost_names, parse_objectives
from pinas_mm.search.evaluation.build import build_evaluator, build_score
from pinas_mm.search.evaluation.evaluator import Evaluator, unprunable
from pinas_mm.search.evaluation.images import Batches
from pinas_mm.search.evaluation.memory import MEMORY, parse_bytes
from pinas_mm.search.evaluation.scores import ArchScore, Score
from pinas_mm.search.record.storage import GRACE, HEARTBEAT
from pinas_mm.whole_numbers import is_whole

if TYPE_CHECKING:
    import optuna

COUNTS = (
    *("trials", "batch", "workers", "heartbeat", "grace", "storage_timeout", "best"),
    "calibration_batches",
)
# Counts of which 0 means something.
MAY_BE_ZERO = ("calibration_batches",)
# More processes than this for each core or GPU only wait for each other.
MOST_WORKERS = 4
# Characters of a study's name that all databases take.
MOST_NAME = 255
# Architectures whose statistics are in memory together.
MOST_BATCH = 4096


@dataclasses.dataclass
class SearchSettings:
    """What a search is told; the defaults are the paper's where it gives one.

    Args:
        score: the score: ``pinas_mm.ProbeScore``, ``CrossPathScore``, ``PredictScore``; without any
            training ``SynFlowScore``, ``NASWOTScore``, ``GradNormScore``, ``CostScore``. In a
            config its name, or its config, whose ``type`` may be a class.
        dataloader: config of a loader of the images to score on.
        calibration_dataloader: config of a loader of training images for batch-norm statistics;
            empty for scores that measure architectures by themselves, as the zero-cost ones.
        images: how many images to score on, drawn by the seed; None is all of the data set. Scores
            that measure architectures by themselves have a number of their own.
        keep_images: True keeps loaded images in memory, False reads them again for each batch of
            architectures, None keeps them where they take at most ``memory``.
        calibration_batches: batches for the statistics; 0 keeps the supernet's running ones, which
            mix all paths.
        objectives: metrics and costs; in a config their names, ``name:min`` where less is better.
        constraints: budgets, such as ``macs<=5.3G``, ``params<=27M``, ``latency<=40ms``.
        trials: architectures to evaluate in all.
        sampler: config or name, ours or Optuna's.
        batch: architectures that a worker, and each rank of a distributed one, takes on at a time;
            what they share is computed once.
        memory: most bytes of activations kept for sharing; in a config also as text (``2G``).
        pruner: an Optuna pruner, in a config its config; hopeless architectures then stop after a
            part of the images.
        latency: arguments of :class:`~pinas_mm.search.budget.latency_options.LatencyOptions`.
            Each candidate block is measured here, what follows the backbone, and some architectures
            as a whole, to see how far the sum is off; None measures where a constraint or an
            objective is on latency. A machine that joins a search keeps a bound on latency by its
            own measurements.
        image_size: height and width for the costs; None is that of the images.
        num_classes: outputs of a linear classifier on the backbone for the costs. None counts and
            measures the whole model where the supernet stands in one (:class:`SinglePath`): neck
            and heads, as it predicts at the image size; of others the backbone, and a classifier
            of as many classes as the model's head has.
        seed: of the sampler and of the choice of images; partner paths and views of the label-free
            score have seeds of their own, so that searches compare.
        study: name of the study in the storage.
        storage: database URL; None is ``search.db`` in the work dir.
        workers: processes on this machine.
        heartbeat, grace: seconds between a worker's signs of life, and without one until its
            trials are given to others.
        storage_timeout: seconds to try again where the storage is away for a while.
        keep_workers: whether workers, and the ranks of a launcher, go on where the process that
            started them is killed.
        best: how many architectures ``best.json`` lists.
        score_config: what the score was made of.
    """

    score: Score
    dataloader: dict[str, Any]
    calibration_dataloader: dict[str, Any]
    images: int | None = None
    keep_images: bool | None = None
    calibration_batches: int = CALIBRATION_BATCHES
    objectives: tuple[Objective, ...] = (Objective("accuracy/top1", "maximize"),)
    constraints: tuple[Constraint, ...] = ()
    trials: int = 1000
    sampler: str | dict[str, Any] = "pinas_mm.PredictorSampler"
    batch: int = 8
    memory: int = MEMORY
    pruner: optuna.pruners.BasePruner | None = None
    latency: dict[str, Any] | None = None
    image_size: int | tuple[int, int] | None = None
    num_classes: int | None = None
    seed: int = 0
    study: str = "search"
    storage: str | None = None
    workers: int = 1
    heartbeat: int = HEARTBEAT
    grace: int = GRACE
    storage_timeout: int = 600
    keep_workers: bool = False
    best: int = 10
    score_config: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> SearchSettings:
        """Reads a config dict: what it names is built here, and nowhere else.

        Raises:
            UserError: a setting is unknown, missing or out of range, or names something unknown.
        """
        fields = {f.name: f for f in dataclasses.fields(cls) if f.name != "score_config"}
        unknown = sorted(set(config) - set(fields))
        if unknown:
            raise UserError(f"search has no {', '.join(unknown)}; it has {', '.join(fields)}")
        for name, kinds in KINDS.items():
            if name in config and not isinstance(config[name], kinds):
                raise UserError(
                    f"search.{name} is {config[name]!r}: allowed is "
                    f"{' or '.join(WORDS.get(kind, kind.__name__) for kind in kinds)}"
                )
        read = dict(config)
        for name, reader in READERS.items():
            if name in config:
                read[name] = reader(config[name])
        if isinstance(read.get("score"), ArchScore):
            # Whatever the config has for other scores.
            read["calibration_dataloader"] = {}
        missing = [
            name
            for name, field in fields.items()
            if field.default is dataclasses.MISSING and name not in read
        ]
        if missing:
            raise UserError(f"search needs {', '.join(missing)}: see configs/pinas_search.py")
        settings = cls(**read, score_config=options_of(config["score"]))
        settings._check_ranges()
        return settings

    def _check_ranges(self) -> None:
        """Refuses values that have the right type, but not with each other or on this machine."""
        for name in COUNTS:
            value = getattr(self, name)
            least = 0 if name in MAY_BE_ZERO else 1
            if not is_whole(value, least):
                raise UserError(
                    f"search.{name} is {value!r}: it must be a number of at least {least}"
                )
        size = self.image_size or 1
        sides = [size] * 2 if isinstance(size, int) else size
        if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
            raise UserError(
                f"search.image_size is {size!r}: give a whole number of pixels, or two for height "
                "and width"
            )
        most = MOST_WORKERS * max(usable_cores(), torch.cuda.device_count())
        for name, limit in (("workers", most), ("batch", MOST_BATCH)):
            if getattr(self, name) > limit:
                raise UserError(
                    f"search.{name} is {getattr(self, name)}: at most {limit} on this machine"
                )
        if not self.study.isprintable() or not 0 < len(self.study) <= MOST_NAME:
            raise UserError(
                f"search.study is {self.study!r}: a name of 1 to {MOST_NAME} letters, without "
                "line breaks and control characters"
            )
        if self.grace <= self.heartbeat:
            raise UserError(
                f"search.grace is {self.grace} s, heartbeat {self.heartbeat} s: a living "
                "worker would count as dead; make grace a few times heartbeat"
            )
        if not isinstance(self.seed, int) or self.seed < 0:
            raise UserError(f"search.seed is {self.seed!r}: it must be a number of at least 0")
        if all(objective.name in cost_names() for objective in self.objectives):
            raise UserError("the objectives are costs alone, which need no search: add a metric")
        if self.pruner is not None and len(self.objectives) > 1:
            raise UserError("pruning compares one metric: give one objective, or no pruner")

    def check(self, model: nn.Module) -> None:
        """Checks what needs the model, but no image and no measurement.

        Raises:
            UserError: score, objectives or pruner do not suit the model or the run.
        """
        self.score.check(model)
        if self.score.names is not None:
            self.check_objectives(self.score.names)
        if self.pruner is not None and isinstance(self.score, ArchScore):
            raise UserError(unprunable(self.score))
        if self.pruner is not None and get_world_size() > 1:
            raise UserError(
                "pruning compares all architectures after each batch, but ranks take different "
                "ones: search without a pruner, or by --workers instead of --launcher"
            )

    def check_objectives(self, names: Sequence[str]) -> None:
        """Raises :class:`UserError` where an objective is neither a cost nor among a score's
        metrics, whose names are given.
        """
        known = (*names, *cost_names())
        unknown = [objective.name for objective in self.objectives if objective.name not in known]
        if unknown:
            raise UserError(
                f"objective {', '.join(unknown)} is not among what "
                f"{type(self.score).__name__} gives: {', '.join(known)}"
            )

    def evaluator(self, model: nn.Module, loaded: Mapping[str, Batches] | None = None) -> Evaluator:
        """What scores architectures of a model as these settings say.

        Args:
            model: see :class:`~pinas_mm.search.search.Search`.
            loaded: of :func:`build_evaluator`.

        Raises:
            UserError: as :func:`build_evaluator`; an objective is not among the score's metrics.
        """
        evaluator = build_evaluator(
            model,
            score=self.score,
            dataloader=self.dataloader,
            images=self.images,
            calibration_dataloader=self.calibration_dataloader,
            calibration_batches=self.calibration_batches,
            memory=self.memory,
            seed=self.seed,
            keep_images=self.keep_images,
            loaded=loaded,
        )
        self.check_objectives(evaluator.names)
        return evaluator

    def check_alone(self, who: str) -> None:
        """Raises :class:`UserError` where workers are asked for, which the command alone starts.

        Args:
            who: what searches instead, for the message.
        """
        for name, asked in (("workers", self.workers > 1), ("keep_workers", self.keep_workers)):
            if asked:
                raise UserError(
                    f"search.{name} is {getattr(self, name)}: {who}; leave it out, or search by "
                    "tools/search.py, which starts several"
                )

    def check_data(self) -> None:
        """Raises :class:`UserError` where images to score or to calibrate on are missing."""
        for name in ("dataloader", "calibration_dataloader"):
            if getattr(self, name):
                check_data("search", getattr(self, name), f"search.{name}")


def options_of(config: str | Mapping[str, Any]) -> dict[str, Any]:
    """A config as a dict with a type."""
    return {"type": config} if isinstance(config, str) else dict(config)


def _constraints(texts: str | Sequence[str | Constraint]) -> tuple[Constraint, ...]:
    return tuple(map(Constraint.parse, [texts] if isinstance(texts, str) else texts))


def _pruner(config: str | Mapping[str, Any] | None) -> optuna.pruners.BasePruner | None:
    if config is None:
        return None
    import optuna

    options = options_of(config)
    name = options.pop("type", None)
    known = sorted(n for n in optuna.pruners.__all__ if n.endswith("Pruner") and n != "BasePruner")
    if name not in known:
        raise UserError(f"pruner {name} is unknown: Optuna has {', '.join(known)}")
    if name == "WilcoxonPruner":
        raise UserError(
            "pruner WilcoxonPruner compares values of single batches, but a search tells pruners "
            "the metrics of all images so far: take MedianPruner or another"
        )
    inner = options.get("wrapped_pruner")
    if isinstance(inner, (str, Mapping)):
        # As PatientPruner has one: it takes a config as well, and fails when it is asked.
        options["wrapped_pruner"] = _pruner(inner)
    elif inner is not None and not isinstance(inner, optuna.pruners.BasePruner):
        raise UserError(f"pruner {name} has {inner!r} for wrapped_pruner: give a pruner's config")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return getattr(optuna.pruners, name)(**options)
    except (TypeError, ValueError) as error:
        raise UserError(f"pruner {name} does not take {options}: {error}") from None


# What a config may have for settings that are no counts.
KINDS: dict[str, tuple[type, ...]] = dict(
    score=(str, Mapping),
    dataloader=(Mapping,),
    calibration_dataloader=(Mapping,),
    objectives=(str, list, tuple),
    constraints=(str, list, tuple),
    sampler=(str, Mapping),
    memory=(str, int, float),
    pruner=(str, Mapping, type(None)),
    latency=(Mapping, type(None)),
    images=(int, type(None)),
    image_size=(int, list, tuple, type(None)),
    num_classes=(int, type(None)),
    study=(str,),
    storage=(str, type(None)),
    keep_workers=(bool,),
    keep_images=(bool, type(None)),
)
WORDS = {str: "text", bool: "True or False", Mapping: "a dict", int: "a whole number"}
WORDS[type(None)] = "None"

# Settings that are more than a number or a name.
READERS = dict(
    score=build_score,
    objectives=parse_objectives,
    constraints=_constraints,
    memory=parse_bytes,
    pruner=_pruner,
)
