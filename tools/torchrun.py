#!/usr/bin/env python
"""torchrun, without a traceback of its own below what a process of its has said.

It takes torchrun's options and ends with the status of the process that failed first.
"""

import logging
import signal
import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

# Of errors and of interruptions the process has said what there is to say.
SAID = (2, 130)


def run() -> int:
    """Runs the processes; returns the status to exit with."""
    logging.disable()  # It tells of every process that it ends.
    try:
        main()
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        status = failure.exitcode
        if status in SAID:
            return status
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        print(f"error: the process of rank {rank} ended with {how}", file=sys.stderr)
        return status if status > 0 else 128 - status
    except SignalException as error:
        return 128 + error.sigval
    return 0


if __name__ == "__main__":
    raise SystemExit(run())
