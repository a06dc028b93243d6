"""The finished trials at a record's beginning: what is known of them is never read again."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from optuna.trial import FrozenTrial


class Settled:
    """Tells trials that are newly finished from those that were finished at the last look.

    A finished trial never changes. Whoever sums up a record of many keeps what it made of the
    beginning, up to the first trial that is not finished, and looks only at the rest.
    """

    def __init__(self) -> None:
        # Where the beginning ends, the numbers in it that are not finished, and its last that is.
        self._end, self._open, self._last = 0, list[int](), -1
        self._trial: FrozenTrial | None = None

    def split(
        self, trials: Sequence[FrozenTrial], passed: Collection[int] = ()
    ) -> tuple[bool, Sequence[FrozenTrial], Sequence[FrozenTrial]]:
        """Looks at a record again.

        Args:
            trials: all of it, by their numbers.
            passed: numbers of trials that may never finish. They do not end the beginning and are
                among the rest; where one finishes it is new then, out of its order.

        Returns:
            Whether they are to be summed up anew, as the record was dropped from memory or is
            another one; those that the beginning has grown by; those besides it.
        """
        last, start = self._last, self._end
        anew = start > len(trials) or (last >= 0 and trials[last] is not self._trial)
        if anew:
            last, start, self._open = -1, 0, []
        end = start
        while end < len(trials) and (trials[end].state.is_finished() or end in passed):
            end += 1
        looked_at = [*self._open, *range(start, end)]
        fresh = [number for number in looked_at if trials[number].state.is_finished()]
        self._open = [number for number in looked_at if not trials[number].state.is_finished()]
        self._end, self._last = end, max((last, *fresh))
        self._trial = trials[self._last] if self._last >= 0 else None
        rest = [trials[number] for number in self._open]
        return anew, [trials[number] for number in fresh], [*rest, *trials[end:]]
