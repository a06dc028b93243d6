"""What a demo has to do, how long that took, and how long all that is left will take."""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from rich.console import Console

from pinas_mm.files import write_json
from pinas_mm.long_work import in_words
from pinas_mm.machine import usable_cores


class Timed(Protocol):
    """What a schedule asks of a :class:`Work` or of a job."""

    @property
    def kind(self) -> str:
        """As much of the same kind takes as long."""

    @property
    def total(self) -> int:
        """How much it is."""

    @property
    def done(self) -> bool:
        """Whether it need not be done any more."""


@dataclasses.dataclass(frozen=True)
class Work:
    """A part of a demo, as far as it is known before it begins.

    Attributes:
        kind: as much of the same kind takes as long.
        total: how much it is: epochs, iterations, architectures, or what else the kind counts.
    """

    kind: str
    total: int

    @property
    def done(self) -> bool:
        """Whether it need not be done any more."""
        return False


@dataclasses.dataclass
class _Watch:
    """A work that goes on: when it began, and when it was first and last seen to get on."""

    began: float
    first: tuple[float, float] | None = None
    last: tuple[float, float] | None = None

    def see(self, now: float, completed: float) -> None:
        if completed and (self.last is None or completed > self.last[1]):
            self.last = now, completed
            self.first = self.first or self.last

    def gained(self) -> tuple[float, float]:
        """Seconds between both, and what was completed in them."""
        if self.first is None or self.last is None:
            return 0.0, 0.0
        return self.last[0] - self.first[0], self.last[1] - self.first[1]


class Schedule:
    """All works of a demo in turn, and the times that they took.

    What is left is estimated from speeds alone: of a work that goes on its own; of one that has
    not begun that of its kind, in this demo or, as long as this demo has none of the kind, in one
    that was measured before, at the pace that this demo has beside it.

    Args:
        steps: by its name, chains of each step. Steps follow each other; a step's chains go on at
            the same time, as many as there are cores; the works of a chain follow each other.
        file: ``times.json`` of the demo; what it has of a demo that was broken off is taken over.
        before: findings of a demo that was measured before, with ``times`` and ``machine``; empty
            for none.
        console: where to say what goes on.
        cores: chains that go on at a time; None for those of this machine.
    """

    def __init__(
        self,
        steps: Mapping[str, Sequence[Sequence[Timed]]],
        file: Path,
        before: Mapping[str, Any],
        console: Console,
        cores: int | None = None,
    ) -> None:
        self._steps = dict(steps)
        self._names = list(steps)
        self._now = 0
        self._file = file
        self.console = console
        self._cores = cores or usable_cores()
        self._machine = before.get("machine", {})
        self._before = _units(before.get("times", ()))
        self._watched: dict[str, tuple[Timed, _Watch]] = {}
        self._lock = threading.RLock()
        self._times: dict[str, dict[str, Any]] = {}
        if file.is_file():
            self._times = {row["name"]: row for row in json.loads(file.read_text())}

    @property
    def times(self) -> list[dict[str, Any]]:
        """Of each work that ran its ``step``, ``name``, ``kind``, ``total``, the ``seconds`` that
        it took, those before an interruption too, and whether it is ``done``.
        """
        with self._lock:
            return [dict(row) for row in self._times.values()]

    def begin(self, step: str, chains: Sequence[Sequence[Timed]] | None = None) -> None:
        """A step begins, and that is said; ``chains`` are its works where more is known by now."""
        with self._lock:
            self._now = self._names.index(step)
            if chains is not None:
                self._steps[step] = chains
        self.say()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A step of one work goes on."""
        self.begin(name)
        with self.work(name, self._steps[name][0][0]):
            yield

    def say(self) -> None:
        """Prints the line."""
        self.console.print(self.line(), soft_wrap=True)

    @contextlib.contextmanager
    def work(self, name: str, work: Timed) -> Iterator[None]:
        """A work of this step goes on; what it takes is written, also where it is broken off."""
        start = time.monotonic()
        with self._lock:
            self._watched[name] = work, _Watch(start)
        done = False
        try:
            yield
            done = True
        finally:
            with self._lock:
                del self._watched[name]
                earlier = self._times.get(name, {}).get("seconds", 0)
                self._times[name] = dict(
                    step=self._names[self._now],
                    name=name,
                    kind=work.kind,
                    total=work.total,
                    seconds=round(earlier + time.monotonic() - start, 1),
                    done=done,
                )
                write_json(self._file, self.times)

    def see(self, name: str, completed: float) -> None:
        """Told how much of a work is completed."""
        with self._lock:
            self._watched[name][1].see(time.monotonic(), completed)

    def left(self) -> float | None:
        """Seconds until all steps are done; None while a speed that it takes is not known."""
        with self._lock:
            seconds = 0.0
            for step in self._names[self._now :]:
                rests = [[self._rest(work) for work in chain] for chain in self._steps[step]]
                if any(rest is None for chain in rests for rest in chain):
                    return None
                seconds += _until_last(map(sum, cast(list[list[float]], rests)), self._cores)
            return seconds

    def line(self) -> str:
        """What the demo is at, and how long all of it will still take."""
        with self._lock:
            number, name = self._now + 1, self._names[self._now]
            left = self.left()
            text = f"step {number} of {len(self._names)}, {name}: "
            if left is None:
                return f"{text}how long all of it will take is not known yet"
            text += f"about {_rounded(left)} until all is done"
            if self._pace() is None:
                text += f", if as fast as {self._machine.get('cores')} cores of an "
                text += f"{self._machine.get('cpu')} were"
            return text

    def _rest(self, work: Timed) -> float | None:
        """Seconds that a work will still take; None where no speed is known."""
        if work.done:
            return 0.0
        name, watch = next(
            ((n, w) for n, (of, w) in self._watched.items() if of == work), ("", None)
        )
        if watch is None:
            return None if (unit := self._unit(work.kind)) is None else unit * work.total
        now = time.monotonic()
        seconds, gained = watch.gained()
        if gained and watch.last is not None:
            return max((work.total - watch.last[1]) * seconds / gained - (now - watch.last[0]), 0)
        unit = self._unit(work.kind)
        if unit is None:
            return None
        earlier = self._times.get(name, {}).get("seconds", 0)
        return max(unit * work.total - earlier - (now - watch.began), 0)

    def _unit(self, kind: str) -> float | None:
        """Seconds of one unit of a kind."""
        own = _units(self._times.values()).get(kind)
        if own is not None:
            return own
        before = self._before.get(kind)
        return None if before is None else before * (self._pace() or 1)

    def _pace(self) -> float | None:
        """Seconds here for each second of the demo before; None until something was measured."""
        here = before = 0.0
        for row in self._times.values():
            if row["done"] and row["kind"] in self._before:
                here += row["seconds"]
                before += self._before[row["kind"]] * row["total"]
        for work, watch in self._watched.values():
            if work.kind in self._before:
                seconds, gained = watch.gained()
                here += seconds
                before += self._before[work.kind] * gained
        return here / before if here and before else None


def _units(times: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of one unit of each kind."""
    seconds: dict[str, float] = {}
    totals: dict[str, float] = {}
    for row in times:
        if row["done"]:
            seconds[row["kind"]] = seconds.get(row["kind"], 0) + row["seconds"]
            totals[row["kind"]] = totals.get(row["kind"], 0) + row["total"]
    return {kind: seconds[kind] / totals[kind] for kind in seconds}


def _until_last(chains: Iterable[float], cores: int) -> float:
    """Seconds until the last of some chains ends, each begun in turn on the core free first."""
    free = [0.0] * cores
    for seconds in chains:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def _rounded(seconds: float) -> str:
    """A duration that is only about right."""
    return in_words(60 * round(seconds / 60)).removesuffix(" 0 s") if seconds > 90 else "1 min"
