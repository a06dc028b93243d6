"""Signs of life of the trials in work."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

from mmengine.logging import print_log

from pinas_mm.search.record.access import ERRORS, Access
from pinas_mm.search.record.checked_storage import CheckedStorage
from pinas_mm.search.record.storage import cause_of


@contextlib.contextmanager
def beating(
    storage: CheckedStorage, access: Access, trials: Callable[[], Sequence[int]], interval: float
) -> Iterator[None]:
    """Gives signs of life while a ``with`` block works.

    Args:
        storage, access: the record's.
        trials: gives the ids of the trials in work; they may become more.
        interval: seconds between two signs.
    """
    stop = threading.Event()

    def beat() -> None:
        reached = True
        while True:
            try:
                for trial_id in trials():
                    storage.record_heartbeat(trial_id)
                reached = True
            except ERRORS as error:
                # A database that is away for a moment must not end the evaluation.
                access.away(error)
                if reached:
                    print_log(f"no heartbeat this time: {cause_of(error)}", "current")
                reached = False
            if stop.wait(interval):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
