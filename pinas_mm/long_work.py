"""Signs of life of work that may take minutes."""

from __future__ import annotations

import time

from mmengine.dist import is_main_process
from mmengine.logging import print_log

# Seconds until the first sign, and between two.
FIRST, BETWEEN = 5.0, 60.0


class LongWork:
    """Log lines that say how far work has come and how long the rest will take, if it is long.

    Args:
        what: names the work.
        total: how many parts it has, where they are counted.

    Example:
        >>> progress = LongWork('calibration', total=49)
        >>> for _ in range(49):
        ...     progress.step()
    """

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what, self._total = what, total
        self._start, self._next = time.monotonic(), FIRST
        self._done = 0

    def step(self) -> None:
        """Reports that one more of the parts is done."""
        self._done += 1
        if self._total is not None:
            self(self._done / self._total)

    def __call__(self, fraction: float) -> None:
        """Reports the share done, 0 to 1."""
        took = time.monotonic() - self._start
        if took < self._next or not 0 < fraction < 1 or not is_main_process():
            return
        self._next = took + BETWEEN
        total = self._total
        done = f"{fraction:.1%}" if total is None else f"{round(fraction * total):,} of {total:,}"
        left = in_words(took / fraction - took)
        print_log(f"{self._what}: {done} after {in_words(took)}, about {left} left", "current")


def in_words(seconds: float) -> str:
    """A duration: ``2 h 13 min``, ``4 min 5 s``, ``12 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
