"""Any metric of the OpenMMLab libraries as a score."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.evaluator import Evaluator as Metrics
from mmpretrain.registry import METRICS

from pinas_mm.errors import UserError
from pinas_mm.registry import SCORES
from pinas_mm.search.evaluation.scores.classification import ClassificationScore


@SCORES.register_module()
class MetricScore(ClassificationScore):
    """mmengine metrics of the predictions of a classifier in a :class:`SinglePath`; their names are
    theirs.

    Args:
        metrics: configs of the metrics, as in ``val_evaluator``.

    Raises:
        UserError: there are none, or one is unknown; the message has those of mmpretrain.
    """

    def __init__(self, metrics: dict | Sequence[dict]) -> None:
        metrics = [metrics] if isinstance(metrics, dict) else list(metrics)
        if not metrics:
            raise UserError("MetricScore has no metrics: give some, as in val_evaluator")
        METRICS.import_from_location()
        for metric in metrics:
            kind = metric.get("type")
            if not inspect.isclass(kind) and METRICS.get(str(kind)) is None:
                known = ", ".join(f"mmpretrain.{name}" for name in sorted(METRICS.module_dict))
                raise UserError(f"metric {metric.get('type')} is unknown: mmpretrain has {known}")
        self._metrics = Metrics(metrics)

    def prepare(self, batch: dict, number: int) -> tuple[torch.Tensor, tuple[dict, list]]:
        """Normalized images; the batch and its data samples."""
        data = self.preprocessed(batch)
        samples = data["data_samples"]
        if samples is None:
            raise UserError(
                "MetricScore needs data samples, which the search's loader does not give: end its "
                "pipeline in PackInputs"
            )
        return data["inputs"], (batch, samples)

    def new_tally(self) -> Metrics:
        """The metrics, without results."""
        return copy.deepcopy(self._metrics)

    def update(
        self, tally: Metrics, feats: tuple[torch.Tensor, ...], targets: tuple[dict, list]
    ) -> None:
        """Hands predictions to the metrics."""
        batch, samples = targets
        # Predictions are written into the samples, which the next architecture gets too.
        copies = [sample.clone() for sample in samples]
        predictions = self.classifier.head.predict(self.pooled(feats), copies)
        tally.process(data_samples=predictions, data_batch=batch)

    def metrics(self, tally: Metrics) -> dict[str, float]:
        """All metrics' numbers."""
        found: dict[str, float] = {}
        for metric in tally.metrics:
            for name, value in _computed(metric).items():
                if name in found:
                    raise UserError(
                        f"two metrics give {name}: set their prefix, which makes names differ"
                    )
                found[name] = _number(name, value)
        return found


def _computed(metric: BaseMetric) -> dict[str, Any]:
    """What ``metric.evaluate`` gives, of this process's results alone.

    That one gathers results of all ranks, each of which has other images there; here each has other
    architectures and all images.
    """
    values = metric.compute_metrics(list(metric.results))
    return {f"{metric.prefix}/{k}" if metric.prefix else k: v for k, v in values.items()}


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(
            f"metric {name} is {value!r}, no single number: configure the metric to average"
        ) from None
