"""More workers on this machine: the same command again, as processes that join the record."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import torch
from mmengine.logging import print_log

from pinas_mm.handing import handed, received
from pinas_mm.machine import THREADS, process_threads, usable_cores
from pinas_mm.search.evaluation.images import Batches
from pinas_mm.search.evaluation.shared import SharedBatches

# Names the process that started a worker, which may be gone before the worker can ask.
PARENT = "PINAS_MM_PARENT"
# Says that a worker is handed images.
IMAGES = "PINAS_MM_IMAGES"
# Seconds between two looks whether it is there, and for what is in work to be put back.
LOOK, LAST = 1.0, 30.0


@contextlib.contextmanager
def helpers(
    command: Sequence[str],
    number: int,
    logs: Path,
    go_on: bool = False,
    images: SharedBatches | None = None,
) -> Iterator[None]:
    """Runs ``number`` more workers beside a ``with`` block and waits for their end.

    Each has its share of the cores and, where there are GPUs, one of them in turn. One that dies
    is reported and not missed: its architectures go to the others. Where the block ends with an
    error they are stopped; where this process is killed they stop by themselves, see
    :func:`stoppable`.

    Args:
        command: the command line of a worker; ``--worker N`` is appended.
        number: how many.
        logs: folder for their output, ``worker_N.log``.
        go_on: whether they have been told to go on where this process is killed, for the log.
        images: that they need not load, see :func:`handed_images`.
    """
    threads, whole = max(usable_cores() // (number + 1), 1), process_threads()
    if number:
        torch.set_num_threads(threads)
        logs.mkdir(parents=True, exist_ok=True)
    started = []
    try:
        for index in range(1, number + 1):
            environment = {"OMP_NUM_THREADS": str(threads), THREADS: str(whole)}
            process = _start([*command, "--worker", str(index)], index, environment, logs, images)
            started.append((index, process))
        if started:
            pids = ", ".join(str(process.pid) for _, process in started)
            end = "go on until the search is done" if go_on else "stop"
            print_log(
                f"{number} more workers (processes {pids}; {logs}/): where this process is killed "
                f"they {end}",
                "current",
            )
        yield
        for index, process in started:
            if process.wait():
                log = logs / f"worker_{index}.log"
                print_log(
                    f"worker {index} ended with status {process.returncode}: see {log}", "current"
                )
    finally:
        running = [process for _, process in started if process.poll() is None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(LAST)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def handed_images() -> dict[str, Batches]:
    """The images that the process which started this worker has loaded; none where it is gone."""
    if not os.environ.get(IMAGES):
        return {}
    with contextlib.suppress(EOFError):
        shared: SharedBatches = received()
        return shared.batches()
    return {}


@contextlib.contextmanager
def stoppable(follows: bool) -> Iterator[None]:
    """Ends a ``with`` block in order where this process is told to stop by SIGTERM.

    Args:
        follows: whether the process also stops where the one that started it, another worker or a
            launcher such as torchrun, is gone.

    Raises:
        SystemExit: told to stop; what is in work can be put back on the way out.
    """
    if threading.current_thread() is not threading.main_thread():
        # Signals are the main thread's.
        yield
        return
    parent, ended = int(os.environ.get(PARENT, os.getppid())), threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        print_log("told to stop: what is finished is kept, the same command goes on", "current")
        raise SystemExit(128 + number)

    def watch() -> None:
        while os.getppid() == parent:
            if ended.wait(LOOK):
                return
        print_log("the process that started this one is gone: it stops too", "current")
        os.kill(os.getpid(), signal.SIGTERM)
        if not ended.wait(LAST):
            # It waits for other processes that have stopped as well.
            os._exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    if follows:
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        signal.signal(signal.SIGTERM, before)


def _start(
    command: list[str],
    index: int,
    environment: dict[str, str],
    logs: Path,
    images: SharedBatches | None,
) -> subprocess.Popen[bytes]:
    given = {PARENT: str(os.getpid()), IMAGES: "1" if images else ""}
    environment = {**os.environ, **environment, **given}
    gpus = torch.cuda.device_count()
    if gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")
        environment["CUDA_VISIBLE_DEVICES"] = visible[index % gpus]
    files = (images.file,) if images else ()
    with (logs / f"worker_{index}.log").open("wb") as log, handed(images) as stdin:
        return subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            stdin=stdin,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=files,
        )
