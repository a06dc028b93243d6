"""One worker of a search: claims architectures, evaluates them together, writes them down."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, cast

from mmengine.dist import broadcast_object_list, get_world_size, is_main_process

from pinas_mm.errors import UserError
from pinas_mm.search.budget.objective import check_given
from pinas_mm.search.evaluation.evaluator import Evaluator, ShareError
from pinas_mm.search.record.claiming import Claim
from pinas_mm.search.record.record import Record
from pinas_mm.search.record.recovery import MAX_ATTEMPTS
from pinas_mm.space import Arch

# Seconds between two looks whether another worker's trial has been given up.
POLL = 1.0
# Evaluations in a row that may raise: as many as two odd architectures after each other take. With
# more it is the worker that is broken, and would fail one good architecture after the other.
MOST_RAISED = 2 * MAX_ATTEMPTS


def work(
    record: Record | None,
    evaluator: Evaluator,
    batch: int,
    progress: Callable[[float], None] = lambda fraction: None,
    should_stop: Callable[[], bool] = lambda: False,
    prunes: bool = False,
) -> None:
    """Works until the search is finished.

    In a distributed run all ranks call it; rank 0 alone has the record, and the ranks take
    different architectures of each batch. One architecture whose evaluation raises does not end
    the search: see :meth:`Record.raised`.

    Args:
        record: the search's record; None on other ranks than 0.
        evaluator: what scores architectures.
        batch: architectures to claim at a time for each rank.
        progress: called now and then, also while other workers have all that is left, with the
            share of the batch in work that is done, 0 to 1.
        should_stop: asked before each batch.
        prunes: whether the record's pruner is asked after each batch of images.

    Raises:
        UserError: an objective is not among the metrics, or the database refuses or is away.
        Exception: what an evaluation raised before any architecture was complete, what many raised
            in a row, or what one rank raised where it had to work with the others.
    """
    batch *= get_world_size()
    raised = 0
    while True:
        claims, over = (
            _next(cast(Record, record), batch, should_stop) if is_main_process() else ([], False)
        )
        archs, over = _shared(([cast(Arch, claim.arch) for claim in claims], over))
        if over:
            return
        if not archs:
            # Other workers have what is left. All ranks wait alike: none sits in a collective
            # operation that times out.
            progress(0.0)
            time.sleep(POLL)
            continue
        evaluated = False
        try:
            with nullcontext() if record is None or not claims else record.beating(claims):
                pruning = _Pruning(cast(Record, record), claims) if prunes else None
                metrics = evaluator.evaluate(archs, on_batch=pruning, progress=progress)
                evaluated = True
                if record is not None:
                    # One that has no number must not take those with it that have one.
                    for index in sorted(range(len(claims)), key=lambda i: not _whole(metrics[i])):
                        pruned = pruning is not None and index in pruning.dropped
                        record.finish(claims[index], metrics[index], pruned)
            raised = 0
        except BaseException as error:
            raised += 1
            if not _goes_on(record, claims, error, raised, evaluated):
                raise


def _goes_on(
    record: Record | None, claims: list[Claim], error: BaseException, raised: int, evaluated: bool
) -> bool:
    """Puts claims back after an error; whether the search goes on, the same on all ranks."""
    # What one rank alone raises the others do not know: they wait for it elsewhere. What record or
    # sampler raise once all are evaluated is no architecture's fault.
    together = isinstance(error, ShareError) or (get_world_size() == 1 and not evaluated)
    if not isinstance(error, Exception) or isinstance(error, UserError) or not together:
        if record is not None:
            record.release(claims)
        return False
    holder = [record is not None and record.raised(claims, error) and raised <= MOST_RAISED]
    broadcast_object_list(holder)
    return holder[0]


def _whole(metrics: Mapping[str, float]) -> bool:
    return all(map(math.isfinite, metrics.values()))


def _next(record: Record, batch: int, should_stop: Callable[[], bool]) -> tuple[list[Claim], bool]:
    """The next claims, and whether this was all; no claims while only other workers have some."""
    if should_stop():
        return [], True
    claims = record.claim(batch)
    return claims, not claims and record.finished()


def _shared(work: tuple[list[Arch], bool]) -> tuple[list[Arch], bool]:
    """Rank 0's architectures and end on all ranks."""
    holder: list[Any] = [work]
    broadcast_object_list(holder)
    return holder[0]


class _Pruning:
    """Tells Optuna's pruner how architectures stand after each batch of images.

    Args:
        record: the search's record, of one objective.
        claims: the architectures in work.
    """

    def __init__(self, record: Record, claims: Sequence[Claim]) -> None:
        self._record, self._claims = record, claims
        self._objective = record.objectives[0].name
        self.dropped: set[int] = set()

    def __call__(self, done: int, total: int, partial: list[dict[str, float]]) -> set[int]:
        """The indices of architectures to drop."""
        if done >= total:
            return set()
        hopeless = set()
        for index, (claim, metrics) in enumerate(zip(self._claims, partial, strict=True)):
            if index not in self.dropped:
                check_given(self._objective, metrics)
                value = metrics[self._objective]
                # Pruners call one that is no number hopeless, and it would count as evaluated. It
                # may have a number after more images; where it has none, it failed.
                if math.isfinite(value) and self._record.report(claim, value, done):
                    hopeless.add(index)
        self.dropped |= hopeless
        return hopeless
