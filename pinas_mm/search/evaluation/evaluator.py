"""Scores of architectures: the one interface that search, ranking and hooks use."""

from __future__ import annotations

import contextlib
import functools
import numbers
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.logging import print_log
from torch import nn

from pinas_mm.errors import UserError, raised_at
from pinas_mm.models.batch_norm import batch_norms
from pinas_mm.search.evaluation.images import Batches
from pinas_mm.search.evaluation.memory import MEMORY, parse_bytes
from pinas_mm.search.evaluation.prefixes import WalkCount
from pinas_mm.search.evaluation.scores.base import ArchScore, FeatureScore, Score
from pinas_mm.search.evaluation.shared import SharedBatches, share
from pinas_mm.search.evaluation.subnets import Subnets, borrowed
from pinas_mm.space import Arch
from pinas_mm.space.arch import read_archs

# (images scored, images in all, metrics so far) -> indices of architectures to drop.
OnBatch = Callable[[int, int, list[dict[str, float]]], Collection[int]]


class ShareError(RuntimeError):
    """What one rank raised over its share of the architectures, raised by all ranks."""


class Evaluator:
    """Architectures in, one dict of metrics each out.

    Each architecture's batch-norm statistics are recomputed on the calibration batches, then its
    feature maps of the images go to the score. Architectures are walked depth first, so that what
    several have in common is computed once; the results are those of each alone, in any order and
    any company. Batches are the outer loop: there is never more than one batch's stack of
    activations in memory. An :class:`~pinas_mm.search.evaluation.scores.ArchScore` measures each by
    itself instead. The model is left as it was, to the bit.

    In a distributed run all ranks call :meth:`evaluate` with the same architectures, take
    different ones (or the same, where a score has to), and all get all results.

    Args:
        model: a trained model, on its device, that the score can read; its weights must not change
            while the evaluator is in use.
        score: what to measure; it says which of the model's networks is walked.
        calibration: collated batches of training images for the statistics, a list or
            :class:`~pinas_mm.search.evaluation.images.Batches`; batches weigh equally.
            None are needed where nothing is recomputed. None in place of a list keeps the
            supernet's running statistics, which mix those of all paths: what recalibration is
            worth.
        images: collated batches of images to score on, the same.
        memory: most bytes of activations kept for sharing, as number or text (``2G``); less costs
            time, 0 computes each architecture by itself.

    Attributes:
        calibration_counts, scoring_counts: what each batch cost in the last :meth:`evaluate` of
            this process, a :class:`~pinas_mm.search.evaluation.prefixes.WalkCount` each.

    Raises:
        UserError: the model is not one that the score can read, there are no images, or none to
            calibrate on; ``memory`` is no amount.
    """

    def __init__(
        self,
        model: nn.Module,
        score: Score,
        calibration: Batches | Sequence[dict[str, Any]] | None,
        images: Batches | Sequence[dict[str, Any]],
        memory: int | str = MEMORY,
    ) -> None:
        self.memory = parse_bytes(memory)
        score.bind(model)
        # Of either kind, which have no method in common.
        self.score: Any = score
        self.backbone, self._model = score.backbone, model
        self._images = Batches.of(images)
        self._calibration = None if calibration is None else Batches.of(calibration)
        if not self._images.sizes:
            raise UserError("there are no images to score on: give at least one batch")
        norms = isinstance(score, FeatureScore) and batch_norms(self.backbone, *score.following)
        if norms and self._calibration is not None:
            if not self._calibration.sizes:
                raise UserError(
                    "there are no images to recompute batch-norm statistics on: give at least one "
                    "calibration batch"
                )
            if min(self._calibration.sizes) < 2:
                raise UserError(
                    "a calibration batch has one image, which has no variance: raise the "
                    "calibration loader's batch_size"
                )
        self._begun = False
        self.calibration_counts: list[WalkCount] = []
        self.scoring_counts: list[WalkCount] = []

    @contextlib.contextmanager
    def shared(self) -> Iterator[SharedBatches | None]:
        """While open, the images lie where other processes of this machine can have them too.

        This process has no other copy of them from then on. None where they cannot be there, which
        is said.
        """
        own = dict(images=self._images, calibration=self._calibration)
        with contextlib.ExitStack() as stack:
            there = {name: batches for name, batches in own.items() if batches is not None}
            try:
                shared = stack.enter_context(share(there))
            except OSError as error:
                print_log(
                    f"{tempfile.gettempdir()} cannot take the images ({error.strerror}): each "
                    "worker has a copy of its own (TMPDIR names another folder)",
                    "current",
                )
                yield None
                return
            batches: dict[str, Any] = own | shared.batches()
            self._images, self._calibration = batches["images"], batches["calibration"]
            yield shared

    @functools.cached_property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images as the network gets them."""
        with borrowed(self._model):
            return self.score.image_size(next(iter(self._images)))

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The metrics' names; a score that does not know them scores one batch along some path."""
        if self.score.names is not None:
            return self.score.names
        first = self.backbone.space.arch(self.backbone.space.mask.argmax(axis=1).tolist())
        with borrowed(self._model):
            self._begin()
            if isinstance(self.score, ArchScore):
                return tuple(_numbers(self.score, self.score.measure(first)))
            batch = Batches.of([next(iter(self._images))])
            subnets = self._subnets([first], recalibrate=False)
            (metrics,) = self._scored(subnets, batch, 1, None, _Steps(1, None))
            return tuple(metrics)

    def evaluate(
        self,
        archs: Sequence[Any],
        on_batch: OnBatch | None = None,
        progress: Callable[[float], object] | None = None,
    ) -> list[dict[str, float]]:
        """Scores architectures.

        Args:
            archs: in any form that :meth:`SearchSpace.arch` reads; equal ones are allowed, and one
                alone.
            on_batch: called after each batch of images with the number of images scored, their
                number in all, and all metrics so far; returns the indices of architectures to
                drop. Theirs are then the metrics of the images they saw.
            progress: called after each batch with the share of the work done, 0 to 1; in a
                distributed run, of this rank's.

        Returns:
            One dict for each architecture, in the order given.

        Raises:
            UserError: an architecture is not one of the space; ``on_batch`` in a distributed run,
                or for a score that measures at once.
            ShareError: in a distributed run, a rank's share raised; no rank waits for it.
        """
        archs = read_archs(archs, self.backbone.space)
        by_itself = isinstance(self.score, ArchScore)
        if by_itself and on_batch is not None:
            raise UserError(unprunable(self.score))
        if get_world_size() == 1 or (by_itself and self.score.collective):
            return self._evaluate(archs, on_batch, progress)
        if on_batch is not None:
            raise UserError(
                "pruning compares all architectures after each batch, but ranks take different "
                "ones: search without a pruner, or with one process a machine"
            )
        # Neighbours in this order have the longest prefixes in common.
        order = sorted(range(len(archs)), key=archs.__getitem__)
        share = _share(order, get_rank(), get_world_size())
        own: dict[int, dict[str, float]] = {}
        fault = None
        try:
            evaluated = self._evaluate([archs[index] for index in share], None, progress)
            own = dict(zip(share, evaluated, strict=True))
        except UserError:
            raise
        except Exception as error:
            fault = error
        said = fault and f"rank {get_rank()}: {type(fault).__name__}: {fault} ({raised_at(fault)})"
        found: dict[int, dict[str, float]] = {}
        for part, other in all_gather_object((own, said)):
            said = said or other
            found |= part
        if said:
            try:
                raise ShareError(said) from fault
            finally:
                # This frame would keep itself, by the error's, and all that was in work.
                del fault
        return [found[index] for index in range(len(archs))]

    def _evaluate(
        self,
        archs: Sequence[Arch],
        on_batch: OnBatch | None,
        progress: Callable[[float], object] | None,
    ) -> list[dict[str, float]]:
        self.calibration_counts, self.scoring_counts = [], []
        with borrowed(self._model):
            self._begin()
            if isinstance(self.score, ArchScore):
                return self._measured(archs, progress)
            if not archs:
                return []
            subnets = self._subnets(archs, recalibrate=self._calibration is not None)
            given = self._calibration if subnets.recalibrated else None
            calibration = Batches.of([]) if given is None else given
            steps = _Steps(len(calibration) + len(self._images), progress)
            for number, batch in enumerate(calibration):
                inputs, targets = self.score.prepare_calibration(batch, number)

                def follow(
                    archs: list[int], feats: tuple[torch.Tensor, ...], targets: Any = targets
                ) -> None:
                    self.score.follow(feats, targets)

                self.calibration_counts.append(subnets.calibrate(inputs, follow))
                steps.done()
            return self._scored(subnets, self._images, len(archs), on_batch, steps)

    def _begin(self) -> None:
        if self._begun:
            return
        if isinstance(self.score, ArchScore):
            self.score.begin(list(self._images))
        else:
            self.score.begin(self._calibration, self._images, self.memory)
        self._begun = True

    def _subnets(self, archs: Sequence[Arch], recalibrate: bool) -> Subnets:
        return Subnets(self.backbone, archs, self.memory, self.score.following, recalibrate)

    def _measured(
        self, archs: Sequence[Arch], progress: Callable[[float], object] | None
    ) -> list[dict[str, float]]:
        found, steps = [], _Steps(len(archs), progress)
        for arch in archs:
            found.append(_numbers(self.score, self.score.measure(arch)))
            steps.done()
        return found

    def _scored(
        self,
        subnets: Subnets,
        images: Batches,
        number_of_archs: int,
        on_batch: OnBatch | None,
        steps: _Steps,
    ) -> list[dict[str, float]]:
        tallies = [self.score.new_tally() for _ in range(number_of_archs)]
        done = 0
        for number, batch in enumerate(images):
            inputs, targets = self.score.prepare(batch, number)

            def end(
                archs: list[int], feats: tuple[torch.Tensor, ...], targets: Any = targets
            ) -> None:
                for index in archs:
                    self.score.update(tallies[index], feats, targets)

            self.scoring_counts.append(subnets.run(inputs, end, self.score.whole))
            done += len(inputs)
            steps.done()
            if on_batch is not None:
                partial = [_numbers(self.score, self.score.metrics(tally)) for tally in tallies]
                dropped = on_batch(done, sum(images.sizes), partial)
                if dropped:
                    subnets.drop(dropped)
                if not subnets.tree.archs:
                    break
        return [_numbers(self.score, self.score.metrics(tally)) for tally in tallies]


def _numbers(score: Score, metrics: Any) -> dict[str, float]:
    """What a score gives as Python's numbers, which records and JSON take.

    Raises:
        UserError: it is no dict of numbers by name.
    """
    given = f"{type(score).__name__}.{'measure' if isinstance(score, ArchScore) else 'metrics'}"
    if not isinstance(metrics, Mapping):
        raise UserError(f"{given} gives a {type(metrics).__name__}: return a dict, number by name")
    found = {}
    for name, value in metrics.items():
        arrays = (torch.Tensor, np.ndarray, np.generic)
        number = value.item() if isinstance(value, arrays) and not value.ndim else value
        if not isinstance(name, str) or not isinstance(number, numbers.Real):
            what = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
            raise UserError(
                f"{given}: {name} is a {type(value).__name__}{what}: return one number for each "
                "metric, under a name that is text"
            )
        found[name] = float(number)
    return found


def unprunable(score: ArchScore) -> str:
    """Why a score cannot be asked early, for people."""
    return (
        f"pruning stops architectures after a part of the images, but {type(score).__name__} "
        "measures each at once: search without a pruner"
    )


class _Steps:
    """Batches or architectures done, told as a share."""

    def __init__(self, total: int, progress: Callable[[float], object] | None) -> None:
        self._total, self._progress, self._done = total, progress, 0

    def done(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done / self._total)


def _share(items: Sequence[int], rank: int, world_size: int) -> Sequence[int]:
    """One rank's contiguous part; parts differ in length by one at most."""
    bounds = [len(items) * r // world_size for r in (rank, rank + 1)]
    return items[bounds[0] : bounds[1]]
