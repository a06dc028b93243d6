"""The ``search`` dict of a config."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pinas_mm.data.checks import check_data
from pinas_mm.errors import UserError

COUNTS = ("trials", "batch", "workers", "calibration_batches", "heartbeat", "grace", "best")


@dataclasses.dataclass
class SearchSettings:
    """What a search is told; the defaults are the paper's where it gives one.

    Args:
        score: config of the score: ``pinas_mm.ProbeScore``, ``CrossPathScore``, ``MetricScore``.
        dataloader: config of a loader of the images to score on.
        calibration_dataloader: config of a loader of training images for batch-norm statistics.
        images: how many images to score on, drawn by the seed; None is all of the data set.
        calibration_batches: batches for the statistics.
        objectives: metric and cost names; ``name:min`` where less is better.
        constraints: budgets, such as ``macs<=5.3G``, ``params<=27M``, ``latency<=40ms``.
        trials: architectures to evaluate in all.
        sampler: config or name, ours or Optuna's.
        batch: architectures a worker takes on at a time; what they share is computed once.
        memory: most bytes of activations kept for sharing, as number or text (``2G``).
        pruner: config of an Optuna pruner; hopeless architectures then stop after a part of the
            images.
        latency: arguments of :func:`~pinas_mm.search.budget.latency.measure_latency`, which
            measures each candidate block here; None measures where a constraint or an objective
            is on latency. A machine that joins a search keeps a bound on latency by its own
            measurements.
        image_size: height and width for the costs; None is that of the images.
        num_classes: classifier's outputs for the costs; None is that of the model's head.
        seed: of the sampler and of the choice of images; partner paths and views of the label-free
            score have seeds of their own, so that searches compare.
        study: name of the study in the storage.
        storage: database URL; None is ``search.db`` in the work dir.
        workers: processes on this machine.
        heartbeat, grace: seconds between a worker's signs of life, and without one until its
            trials are given to others.
        best: how many architectures ``best.json`` lists.
    """

    score: dict[str, Any]
    dataloader: dict[str, Any]
    calibration_dataloader: dict[str, Any]
    images: int | None = None
    calibration_batches: int = 49
    objectives: str | Sequence[str] = ("accuracy/top1",)
    constraints: str | Sequence[str] = ()
    trials: int = 1000
    sampler: str | dict[str, Any] = "pinas_mm.PredictorSampler"
    batch: int = 8
    memory: int | str = "2G"
    pruner: str | dict[str, Any] | None = None
    latency: dict[str, Any] | None = None
    image_size: int | tuple[int, int] | None = None
    num_classes: int | None = None
    seed: int = 0
    study: str = "search"
    storage: str | None = None
    workers: int = 1
    heartbeat: int = 20
    grace: int = 90
    best: int = 10

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> SearchSettings:
        """Reads a config dict.

        Raises:
            UserError: a setting is unknown, missing or out of range.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(set(config) - set(fields))
        if unknown:
            raise UserError(f"search has no {', '.join(unknown)}; it has {', '.join(fields)}")
        missing = [
            name
            for name, field in fields.items()
            if field.default is dataclasses.MISSING and name not in config
        ]
        if missing:
            raise UserError(f"search needs {', '.join(missing)}: see configs/pinas_search.py")
        settings = cls(**config)
        if isinstance(settings.constraints, str):
            settings.constraints = [settings.constraints]
        for name in COUNTS:
            value = getattr(settings, name)
            if not isinstance(value, int) or value < 1:
                raise UserError(f"search.{name} is {value!r}: it must be a number of at least 1")
        if settings.grace <= settings.heartbeat:
            raise UserError(
                f"search.grace is {settings.grace} s, heartbeat {settings.heartbeat} s: a living "
                "worker would count as dead; make grace a few times heartbeat"
            )
        if not isinstance(settings.seed, int) or settings.seed < 0:
            raise UserError(f"search.seed is {settings.seed!r}: it must be a number of at least 0")
        return settings

    def check_data(self) -> None:
        """Raises :class:`UserError` where images to score or to calibrate on are missing."""
        for name in ("dataloader", "calibration_dataloader"):
            check_data("search", getattr(self, name), f"search.{name}")
