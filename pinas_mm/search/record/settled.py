"""The finished trials at a record's beginning: what is known of them is never read again."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial


class Settled:
    """Tells trials that are newly finished from those that were finished at the last look.

    A finished trial never changes. Whoever sums up a record of many keeps what it made of the
    beginning, up to the first trial that is not finished, and looks only at the rest.
    """

    def __init__(self) -> None:
        self._number = 0
        self._last: FrozenTrial | None = None

    def split(
        self, trials: Sequence[FrozenTrial]
    ) -> tuple[bool, Sequence[FrozenTrial], Sequence[FrozenTrial]]:
        """Looks at a record again.

        Args:
            trials: all of it, by their numbers.

        Returns:
            Whether they are to be summed up anew, as the record was dropped from memory or is
            another one; those that the beginning has grown by; those after it.
        """
        start = self._number
        anew = start > len(trials) or (start > 0 and trials[start - 1] is not self._last)
        start = 0 if anew else start
        end = start
        while end < len(trials) and trials[end].state.is_finished():
            end += 1
        self._number, self._last = end, trials[end - 1] if end else None
        return anew, trials[start:end], trials[end:]
