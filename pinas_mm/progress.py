"""A sign of life of work that can take minutes: how much is done, and the time left."""

from __future__ import annotations

import time
from datetime import timedelta

from mmengine.logging import print_log


class Progress:
    """Logs a line now and then while something is counted.

    Args:
        what: begins the line.
        total: steps in all.
        every: seconds between lines; work that takes less has none.
    """

    def __init__(self, what: str, total: int, every: float = 10.0) -> None:
        self.what, self.total, self.every = what, total, every
        self._begun = self._said = time.monotonic()
        self._done = 0

    def step(self) -> None:
        """Counts one."""
        self._done += 1
        now = time.monotonic()
        if self._done < self.total and now - self._said >= self.every:
            self._said = now
            seconds = (now - self._begun) / self._done * (self.total - self._done)
            left = timedelta(seconds=round(seconds))
            print_log(f"{self.what}: {self._done} of {self.total}, {left} left", "current")
