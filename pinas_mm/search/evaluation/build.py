"""An evaluator from a model and configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.models.batch_norm import CALIBRATION_BATCHES
from pinas_mm.registry import SCORES, built
from pinas_mm.search.evaluation.evaluator import Evaluator
from pinas_mm.search.evaluation.images import Batches, load_batches
from pinas_mm.search.evaluation.memory import MEMORY, parse_bytes
from pinas_mm.search.evaluation.scores import ArchScore, Score


def build_score(config: str | Mapping[str, Any] | Score) -> Score:
    """A score from its config or name.

    Raises:
        UserError: there is none of that name, or it does not take the arguments.
    """
    return config if isinstance(config, Score) else built(SCORES, config, "search.score", Score)


def build_evaluator(
    model: nn.Module,
    score: str | Mapping[str, Any] | Score,
    dataloader: Mapping[str, Any],
    calibration_dataloader: Mapping[str, Any],
    images: int | None = None,
    calibration_batches: int = CALIBRATION_BATCHES,
    memory: int | str = MEMORY,
    seed: int = 0,
    keep_images: bool | None = None,
    loaded: Mapping[str, Batches] | None = None,
) -> Evaluator:
    """Loads the images and makes an evaluator of them.

    A score that measures architectures by themselves takes one batch of as many images as it says:
    ``images``, ``calibration_batches`` and ``calibration_dataloader`` are not used then.

    Args:
        model: a trained :class:`SinglePath` or :class:`PiNAS`, on its device.
        score: the score or its config; where it takes a seed of its own, the default stays.
        dataloader: config of a loader of the images to score on.
        calibration_dataloader: config of a loader of training images for batch-norm statistics.
        images: how many images to score on, drawn by the seed; None is all, in their order.
        calibration_batches: batches for the statistics; fewer where there are no more images. A
            last one that is not full is left out, since batches weigh equally. 0 recomputes
            nothing, see :class:`Evaluator`.
        memory: most bytes of activations kept for sharing, as number or text.
        seed: of the choice of images, where the loader's sampler shuffles, and of random pipelines.
        keep_images: whether images are read once and kept, or read again for each call; None keeps
            those to score on, and those for statistics, where they take at most ``memory``.
        loaded: what another process has loaded by the same arguments, ``images`` and
            ``calibration``; what is missing is loaded.

    Raises:
        UserError: the score is unknown or does not fit the model, or there are not that many
            images.
    """
    built = build_score(score)
    # Before the images, which take their time.
    built.check(model)
    if calibration_batches < 0:
        raise UserError(f"calibration_batches is {calibration_batches}: it must be at least 0")
    if isinstance(built, ArchScore):
        images = built.num_images
        dataloader = {**dataloader, "batch_size": images}
    if images is not None:
        # The first ones of a data set are often all of a few classes.
        dataloader = {**dataloader, "sampler": {"shuffle": True}}
    options: dict[str, Any] = dict(seed=seed, keep=keep_images, memory=parse_bytes(memory))
    loaded = loaded or {}
    batches = loaded.get("images")
    if batches is None:
        batches = load_batches(dataloader, images, exact=True, **options)
    if isinstance(built, ArchScore):
        return Evaluator(model, built, [], batches, memory)
    if not calibration_batches:
        return Evaluator(model, built, None, batches, memory)
    calibration = loaded.get("calibration")
    if calibration is None:
        calibration = load_calibration(calibration_dataloader, calibration_batches, **options)
    return Evaluator(model, built, calibration, batches, memory)


def load_calibration(
    dataloader: Mapping[str, Any], batches: int, seed: int = 0, **options: Any
) -> Batches:
    """Training images that a search recomputes batch-norm statistics on.

    Args:
        dataloader: config of their loader.
        batches: how many at most; a last one that is not full is left out.
        seed: of the choice of images and of random pipelines.
        options: ``keep`` and ``memory``, see :func:`load_batches`.

    Raises:
        UserError: there are no images, or single ones.
    """
    size = dataloader.get("batch_size", 1)
    loaded = load_batches(dataloader, batches * size, seed, full=True, **options)
    if max(loaded.sizes) == 1:
        raise UserError(
            f"the calibration loader gives single images ({len(loaded)} in batches of {size}), by "
            "which batch norm cannot normalize: raise its batch_size, or take more images"
        )
    return loaded
