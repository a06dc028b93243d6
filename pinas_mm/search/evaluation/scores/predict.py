"""What a model's own predictions are worth, by any metric of its library."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import torch
from mmengine.evaluator import BaseMetric
from mmengine.evaluator import Evaluator as Metrics
from mmengine.logging import MMLogger
from mmengine.registry import METRICS, DefaultScope
from mmengine.structures import BaseDataElement
from torch import nn

from pinas_mm.algorithms.single_path import SinglePath
from pinas_mm.errors import UserError
from pinas_mm.models.calibration import calibration_batch, calibration_pass
from pinas_mm.models.following import FAULTS
from pinas_mm.models.supernet import same_batch
from pinas_mm.registry import SCORES, plain, registered
from pinas_mm.search.evaluation.scores.base import FeatureScore
from pinas_mm.search.evaluation.scores.coco import (
    check_annotated,
    check_truth,
    is_coco,
    missed,
    shared_annotations,
)

# Images, the batch as loaded, its data samples.
Targets = tuple[torch.Tensor, dict[str, Any], list[Any]]


@dataclasses.dataclass
class _Tally:
    metrics: list[BaseMetric]
    instances: int = 0
    empty: BaseDataElement | None = None  # a prediction, where nothing was detected so far
    predicted: tuple[str, ...] = ()


@SCORES.register_module()
class PredictScore(FeatureScore):
    """Metrics of what a model in a :class:`SinglePath` predicts: box AP of a detector, mIoU of a
    segmentor, accuracy of a classifier, or any other of mmengine's metrics; their names are theirs.

    Predictions are the model's own, of the images as the loader gives them: metrics equal those of
    ``tools/test.py`` on the architecture's network with the same statistics. The search by a
    detector's own metric is that of DetNAS (Chen et al., NeurIPS 2019).

    The supernet is run once for what architectures have in common, unless the model cuts the images
    up first (``test_cfg=dict(mode='slide')`` on images larger than its crops). Batch norms of neck
    and heads are recalibrated too, by :func:`~pinas_mm.models.calibration.calibration_pass`,
    which needs labels.

    Of CocoMetric the images scored are meant, and no others of its ``ann_file``; where nothing at
    all is detected, its average precision is 0.

    Args:
        metrics: configs of the metrics, as in ``val_evaluator``.

    Raises:
        UserError: there are none, or one is unknown; of those that the model's task or the images
            do not suit, before the first architecture is scored.

    Example:
        >>> search = dict(
        ...     score=dict(type='pinas_mm.PredictScore',
        ...                metrics=dict(type='mmdet.CocoMetric', metric='bbox', ann_file=...)),
        ...     objectives=['coco/bbox_mAP', 'macs'])
    """

    def __init__(self, metrics: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        configs = [metrics] if isinstance(metrics, Mapping) else list(metrics)
        if not configs:
            raise UserError("PredictScore has no metrics: give some, as in val_evaluator")
        scope = getattr(DefaultScope.get_current_instance(), "scope_name", None)
        for config in configs:
            kind = config.get("type")
            if registered(kind, scope, METRICS) is None:
                raise UserError(
                    f"metric {kind} is unknown: known are {', '.join(_known())}; one of your own "
                    "is known once its file is among the config's custom_imports"
                )
        self._configs = [plain(config) for config in configs]
        self._metrics: list[BaseMetric] = []

    def check(self, model: nn.Module) -> None:
        """Raises :class:`UserError` where the model predicts nothing, or a metric cannot be made,
        as where its annotations are missing.
        """
        if not isinstance(model, SinglePath):
            raise UserError(
                f"PredictScore needs a pinas_mm.SinglePath, which trains a whole model on a "
                f"supernet, not {type(model).__name__}: see configs/pinas_linear.py and those of "
                "supernets in detectors and segmentors, or search without labels by "
                "pinas_mm.CrossPathScore"
            )
        if not self._metrics:
            self._metrics = [_made(config) for config in self._configs]
            for metric, config in zip(self._metrics, self._configs, strict=True):
                check_annotated(metric, config.get("ann_file"))

    @property
    def following(self) -> list[nn.Module]:
        """All that the model has beside the supernet."""
        return _beside(self.model.model, self.backbone)

    def begin(self, calibration: Any, images: Any, limit: float) -> None:
        """Tells the metrics the data set's classes, and finds out whether the supernet gets the
        images as they are.
        """
        for metric in self._metrics:
            metric.dataset_meta = cast(Any, images.metainfo or None)
        calls: list[torch.Tensor] = []
        hook = self.backbone.register_forward_pre_hook(lambda _, args: calls.append(args[0]))
        try:
            inputs, targets = self.prepare(next(iter(images)), 0)
            with self.backbone.on(self.backbone.space.mask.argmax(axis=1).tolist()):
                self._predictions((), targets)
        finally:
            hook.remove()
        self.whole = len(calls) != 1 or not same_batch(calls[0], inputs)

    def prepare_calibration(
        self, batch: dict[str, Any], number: int
    ) -> tuple[torch.Tensor, tuple[dict[str, Any], int]]:
        """The same of a labelled batch, for a training step's forward pass."""
        data = calibration_batch(self.model.model, batch)
        data["inputs"] = data["inputs"].to(next(self.backbone.parameters()).dtype)
        return data["inputs"], (data, number)

    def follow(self, feats: tuple[torch.Tensor, ...], targets: Any = None) -> None:
        """Goes on from an architecture's feature maps of a calibration batch."""
        data, number = targets
        with self.backbone.answering(data["inputs"], feats), _alone():
            calibration_pass(self.model.model, data, number)

    def prepare(self, batch: dict[str, Any], number: int) -> tuple[torch.Tensor, Targets]:
        """Normalized images in the network's precision, and what predictions are made with."""
        samples = batch.get("data_samples")
        if samples is None:
            raise UserError(
                "PredictScore needs data samples, which the search's loader does not give: end its "
                "pipeline in the library's Pack transform, as PackDetInputs"
            )
        for metric, config in zip(self._metrics, self._configs, strict=True):
            if is_coco(metric):
                check_truth(metric, config.get("ann_file"), samples)
        # Preprocessors write into them, and the batch may be a kept one.
        batch = {**batch, "data_samples": [sample.clone() for sample in samples]}
        data = self.model.data_preprocessor(batch, False)
        inputs = data["inputs"].to(next(self.backbone.parameters()).dtype)
        return inputs, (inputs, batch, data["data_samples"])

    def new_tally(self) -> _Tally:
        """The metrics, without results."""
        shared = shared_annotations(self._metrics)
        return _Tally([copy.deepcopy(metric, dict(shared)) for metric in self._metrics])

    def update(self, tally: _Tally, feats: tuple[torch.Tensor, ...], targets: Targets) -> None:
        """Hands predictions to the metrics."""
        predictions = self._predictions(feats, targets)
        for sample in predictions:
            if "pred_instances" in sample:
                tally.instances += len(cast(Any, sample).pred_instances)
                tally.empty = None if tally.instances else sample
        tally.predicted = tuple(predictions[-1].keys())
        for metric in tally.metrics:
            with self._understood(metric, tally.predicted):
                Metrics([metric]).process(data_samples=predictions, data_batch=targets[1])

    def metrics(self, tally: _Tally) -> dict[str, float]:
        """All metrics' numbers."""
        found: dict[str, float] = {}
        for metric in tally.metrics:
            for name, value in self._computed(metric, tally).items():
                if name in found:
                    raise UserError(
                        f"two metrics give {name}: set their prefix, which makes names differ"
                    )
                found[name] = _number(name, value)
        return found

    def _predictions(
        self, feats: tuple[torch.Tensor, ...], targets: Targets
    ) -> list[BaseDataElement]:
        """From an architecture's feature maps; without any, along the path that is set."""
        inputs, _, samples = targets
        # Predictions are written into the samples, which the next architecture gets too.
        copies = [sample.new() for sample in samples]
        with self.backbone.answering(inputs, feats) if feats else contextlib.nullcontext():
            return self.model(inputs, copies, mode="predict")

    @contextlib.contextmanager
    def _understood(self, metric: BaseMetric, predicted: Sequence[str]) -> Iterator[None]:
        """Says which metric fails, and on what."""
        try:
            yield
        except FAULTS as error:
            raise UserError(
                f"metric {type(metric).__name__} fails on what {type(self.model.model).__name__} "
                f"predicts, {', '.join(predicted)} "
                f"({type(error).__name__}: {error}): is it of this task, are its settings, and "
                "does the pipeline of search.dataloader load the annotations that it reads?"
            ) from error

    def _computed(self, metric: BaseMetric, tally: _Tally) -> dict[str, Any]:
        """What ``metric.evaluate`` gives, of this process's results alone.

        That one gathers results of all ranks, each of which has other images there; here each has
        other architectures and all images.
        """
        # It is asked again with more results, and some remember what they read of these.
        metric = copy.copy(metric)
        results = list(metric.results)
        if tally.empty is not None:
            metric.results = []
            Metrics([metric]).process(data_samples=[missed(tally.empty)], data_batch={})
            results[-len(metric.results) :] = metric.results
        if is_coco(metric):
            cast(Any, metric).img_ids = [prediction["img_id"] for _, prediction in results]
        with _quiet(), self._understood(metric, tally.predicted):
            values = metric.compute_metrics(results)
        return {f"{metric.prefix}/{k}" if metric.prefix else k: v for k, v in values.items()}


def _known() -> list[str]:
    """Metrics of the libraries."""
    names = []
    for scope in filter(find_spec, ("mmpretrain", "mmdet", "mmseg")):
        registry = import_module(f"{scope}.registry").METRICS
        registry.import_from_location()
        names += [f"{scope}.{name}" for name in sorted(registry.module_dict)]
    return names


def _made(config: dict[str, Any]) -> BaseMetric:
    """A metric, which may read a whole data set's annotations."""
    try:
        with _quiet():
            return METRICS.build(config)
    except (OSError, TypeError, ValueError, KeyError, AssertionError) as error:
        options = {name: value for name, value in config.items() if name != "type"}
        raise UserError(
            f"metric {config['type']} cannot be made of {options} ({type(error).__name__}: "
            f"{error}): see its ann_file and arguments in search.score.metrics"
        ) from error


def _beside(module: nn.Module, inner: nn.Module) -> list[nn.Module]:
    """The largest parts of a module that do not contain another."""
    if module is inner or inner not in module.modules():
        return [] if module is inner else [module]
    return [part for child in module.children() for part in _beside(child, inner)]


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Without other ranks: losses average the number of their targets over all, which here have
    other architectures, and not as many.
    """
    initialized = torch.distributed.is_initialized
    torch.distributed.is_initialized = lambda: False
    try:
        yield
    finally:
        torch.distributed.is_initialized = initialized


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the tables that metrics print, here for each architecture."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(
            f"metric {name} is {value!r}, no single number: configure the metric to average"
        ) from None
