"""How a tool ends that was interrupted, or whose processes lost one another: a line, said once."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from pinas_mm.errors import UserError, reason

# Set to 1 in the environment, it shows tracebacks in place of lines.
DEBUG = "PINAS_DEBUG"
# Seconds in which a launcher notices that rank 0 has ended, and ends the others.
PATIENCE = 10
INTERRUPTED = 130
# Of what PyTorch raises where processes cannot exchange something.
LOST = re.compile(
    r"gloo.transport|pair closure|timed out waiting|connection closed by peer"
    r"|collective operation timeout|ncclRemoteError",
    re.IGNORECASE,
)


def process_rank() -> int:
    """This process's among those that torchrun, Slurm or MPI started; 0 where it is alone."""
    names = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
    return int(next((os.environ[name] for name in names if name in os.environ), 0))


def let_rank_0_speak() -> None:
    """Waits, on other ranks than 0, before something is said that rank 0 may say as well.

    Where it does, the launcher ends this process meanwhile; else this rank has to say it itself.
    """
    if process_rank():
        time.sleep(PATIENCE)


@contextlib.contextmanager
def interruptible(kept: str | Callable[[], str]) -> Iterator[None]:
    """Ends a ``with`` block or a decorated function with one line and status 130 on Ctrl-C.

    Args:
        kept: what is kept and how to go on, or what says so when it is asked.

    Raises:
        UserError: instead of what PyTorch raises where another process does not answer.
    """
    try:
        yield
    except KeyboardInterrupt:
        _say(kept if isinstance(kept, str) else kept())
        raise SystemExit(INTERRUPTED) from None
    except RuntimeError as error:
        if not LOST.search(str(error)):
            raise
        raise UserError(
            "another process of the run is dead, or stopped or busy for longer than "
            f"env_cfg.dist_cfg.timeout ({reason(error, last=True)}): "
            f"{kept if isinstance(kept, str) else kept()}"
        ) from error


def while_loading() -> None:
    """Does the same for Ctrl-C outside of such a block, while libraries are loaded.

    Of a library that is missing then, a line says how to get it. Where they are loaded already,
    as in a benchmark, work may have begun: Ctrl-C is left to Python.
    """
    if "torch" not in sys.modules:
        sys.excepthook = _hook


def leave_process_group() -> None:
    """Leaves the other processes, where there are any, before the interpreter ends.

    Gloo's threads may hold Python objects of the last exchange. One that lets go of them while the
    interpreter is being taken down aborts a process that has done all its work
    (https://github.com/pytorch/pytorch/pull/179291): torchrun and Slurm then say that it failed.
    """
    # Without PyTorch, which not every command loads, there is no group.
    distributed = sys.modules.get("torch.distributed")
    if distributed and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        _say("nothing was begun")
        sys.stdout.flush()
        os._exit(INTERRUPTED)
    if isinstance(error, UserError) and os.environ.get(DEBUG) != "1":
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(2)
    sys.__excepthook__(kind, error, trace)


def _say(kept: str) -> None:
    if not process_rank():
        print(f"interrupted: {kept}", file=sys.stderr, flush=True)
