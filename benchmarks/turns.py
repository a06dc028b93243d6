"""Things to be timed that have a process of their own each, and take turns."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
WARM_UP = 2

Run = Callable[[], object]
# What this process times.
_run: Run


class Turns:
    """A process for each thing that is timed, in a ``with`` block.

    In one process they would share one cache of oneDNN's prepared operations, which so many fill.

    Args:
        makers: of each, by its name, what makes it in its process; it is picked up by pickle.
        threads: of PyTorch in each.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Run]], threads: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._processes = {
            name: ProcessPoolExecutor(1, spawn, initializer=_begin, initargs=(make, threads))
            for name, make in makers.items()
        }

    def __enter__(self) -> Turns:
        # One after the other: what they need at first is most.
        self._of_all(_seconds)
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes.values():
            process.shutdown()

    def seconds(self, rounds: int) -> dict[str, list[float]]:
        """Of each in every round."""
        found = [self._of_all(_seconds) for _ in range(rounds)]
        return {name: [times[name] for times in found] for name in self._processes}

    def memory(self) -> dict[str, int]:
        """Bytes that each one's process, or its GPU, held at most."""
        return self._of_all(_memory)

    def ask(self, name: str, question: Callable[[Any], Any]) -> Any:
        """What a function says of one of them, in its process."""
        return self._processes[name].submit(_answer, question).result()

    def _of_all(self, question: Callable[[], Any]) -> dict[str, Any]:
        return {
            name: process.submit(question).result() for name, process in self._processes.items()
        }


def _begin(make: Callable[[], Run], threads: int) -> None:
    global _run
    torch.set_num_threads(threads)
    _run = make()
    for _ in range(WARM_UP):
        _seconds()


def _seconds() -> float:
    _synchronize()
    start = time.perf_counter()
    _run()
    _synchronize()
    return time.perf_counter() - start


def _memory() -> int:
    if DEVICE.type == "cuda":
        return torch.cuda.max_memory_allocated()
    # Of kilobytes but for macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _answer(question: Callable[[Any], Any]) -> Any:
    return question(_run)


def _synchronize() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
