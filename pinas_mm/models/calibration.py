"""The forward pass that batch norms' statistics of a whole model are recomputed by."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from pinas_mm.errors import UserError, reason
from pinas_mm.models.following import FAULTS
from pinas_mm.models.samples import own_samples

ADVICE = "give the training's loader and pipeline as calibration_dataloader"


def calibration_batch(model: nn.Module, data: dict[str, Any]) -> dict[str, Any]:
    """A training batch as a model's loss takes it, its images not mixed or resized at random.

    Args:
        model: of mmpretrain, mmdet or mmseg.
        data: as the training's loader gives it, labelled; it is left as it is.

    Returns:
        ``inputs`` and ``data_samples``, on the model's device.

    Raises:
        UserError: it has no labels, or is none to train on.
    """
    samples = data.get("data_samples") or []
    if not samples or not all(any(map(_is_truth, sample.keys())) for sample in samples):
        raise UserError(
            "calibration images have no labels or annotations, with which batch norms of heads see "
            f"what they see in training: {ADVICE}"
        )
    # Preprocessors write into samples, which may be wanted again.
    data = own_samples(data)
    preprocessor: Any = model.data_preprocessor
    mixing = getattr(preprocessor, "batch_augments", None)
    if mixing is not None:
        preprocessor.batch_augments = None
    try:
        with _explained():
            return preprocessor(data, True)
    finally:
        if mixing is not None:
            preprocessor.batch_augments = mixing


def calibration_pass(model: nn.Module, batch: dict[str, Any], seed: int) -> None:
    """Runs a training step's forward pass, in whatever mode the model's parts are.

    In a prediction, heads of two-stage detectors get other regions than those that they learn
    from: statistics of predictions took 3.8 points of mask AP from an earlier demo's Mask R-CNN,
    those of a training step 0.5 (``docs/calibration.json``).

    Args:
        model: of mmpretrain, mmdet or mmseg; a supernet in it has its path set.
        batch: of :func:`calibration_batch`.
        seed: of the regions that are drawn, so that they are the same for all architectures.

    Raises:
        UserError: the model cannot train on the batch.
    """
    # A loss may write into samples, which the next architecture gets too.
    batch = own_samples(batch)
    devices = sorted({p.device.index for p in model.parameters() if p.is_cuda})
    with torch.random.fork_rng(devices=devices), _explained():
        torch.default_generator.manual_seed(seed)
        for device in devices:
            torch.cuda.default_generators[device].manual_seed(seed)
        model(**batch, mode="loss")


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except FAULTS as error:
        raise UserError(
            "a training step fails on the calibration images "
            f"({type(error).__name__}: {reason(error)}): {ADVICE}"
        ) from error


def _is_truth(name: str) -> bool:
    return name.startswith("gt_")
