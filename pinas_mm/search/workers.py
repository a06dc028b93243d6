"""More workers on this machine: the same command again, as processes that join the record."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from mmengine.logging import print_log

from pinas_mm.machine import usable_cores


@contextlib.contextmanager
def helpers(command: Sequence[str], number: int, logs: Path) -> Iterator[None]:
    """Runs ``number`` more workers beside a ``with`` block and waits for their end.

    Each has its share of the cores and, where there are GPUs, one of them in turn. One that dies
    is reported and not missed: its architectures go to the others. Where the block ends with an
    error they are stopped.

    Args:
        command: the command line of a worker; ``--worker N`` is appended.
        number: how many.
        logs: folder for their output, ``worker_N.log``.
    """
    threads = max(usable_cores() // (number + 1), 1)
    if number:
        torch.set_num_threads(threads)
        logs.mkdir(parents=True, exist_ok=True)
    started = []
    try:
        for index in range(1, number + 1):
            started.append(
                (index, _start([*command, "--worker", str(index)], index, threads, logs))
            )
        yield
        for index, process in started:
            if process.wait():
                log = logs / f"worker_{index}.log"
                print_log(f"worker {index} ended with status {process.returncode}: see {log}")
    finally:
        for _, process in started:
            if process.poll() is None:
                process.terminate()
                process.wait()


def parent_died(parent: int = os.getppid()) -> bool:
    """Whether the process that started this one is gone."""
    return os.getppid() != parent


def _start(command: list[str], index: int, threads: int, logs: Path) -> subprocess.Popen:
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    gpus = torch.cuda.device_count()
    if gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")
        environment["CUDA_VISIBLE_DEVICES"] = visible[index % gpus]
    with (logs / f"worker_{index}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, *command], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
