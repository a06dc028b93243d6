"""Runs the demo's tools as processes, one chain a core, and shows how far they are."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from pinas_mm.demo.scalars import read_scalars, training_rows
from pinas_mm.demo.schedule import Schedule
from pinas_mm.demo.settings import begun_with, check_begun, sign, told_command
from pinas_mm.errors import UserError
from pinas_mm.machine import usable_cores
from pinas_mm.model_index import REPOSITORY

# Seconds between two looks at a job, and between two lines where no terminal shows bars.
LOOK, SAY = 2, 60


def measured(*names: str) -> dict[str, Any]:
    """What a :class:`~pinas_mm.demo.schedule.Schedule` takes of demos that ran before.

    Args:
        names: files of their findings in ``docs/``; one that the repository has not is left out.
    """
    files = [REPOSITORY / "docs" / name for name in names]
    found = [json.loads(file.read_text()) for file in files if file.is_file()]
    times = [row for one in found for row in one["times"]]
    return dict(found[0], times=times) if found else {}


def begin(work_dir: Path, settings: Mapping[str, str], chains: Iterable[Iterable[Job]]) -> None:
    """Makes a work dir a demo's, or checks that it is.

    Args:
        work_dir: the demo's.
        settings: all that decides its findings.
        chains: its jobs, as far as they are known by now.

    Raises:
        UserError: the work dir, or that of a job, was begun with other settings.
    """
    # Another demo may have trained a supernet here, which makes none of these files.
    check_begun(work_dir, settings, traces="*.json")
    for job in itertools.chain.from_iterable(chains):
        job.check()
    sign(work_dir, settings)


def finished(results: Path, console: Console) -> dict[str, Any] | None:
    """Findings of a demo that ended earlier, which is said; None where none did.

    Args:
        results: its file.
        console: where to say it.
    """
    if not results.is_file():
        return None
    found: dict[str, Any] = json.loads(results.read_text())
    console.print(f"finished earlier; remove {results.parent} to run it again", soft_wrap=True)
    return found


@dataclasses.dataclass(frozen=True)
class Job:
    """One run of a tool that goes on where it was broken off.

    Args:
        name: shown on the progress bar.
        command: the tool and its arguments, as a user would type them after ``python``.
        work_dir: where it goes; a finished one is not run again.
        total: epochs or iterations of a training, architectures of a search.
        kind: as much of the same kind takes as long; by default of its own.
        by_epoch: whether ``total`` are epochs.
    """

    name: str
    command: tuple[str, ...]
    work_dir: Path
    total: int
    kind: str = ""
    by_epoch: bool = False

    @property
    def done(self) -> bool:
        """Whether this very job has reached its end."""
        ended = (self.work_dir / "finished").is_file()
        return ended and begun_with(self.work_dir) == self.settings

    @property
    def settings(self) -> dict[str, str]:
        """All that decides its result."""
        return {"command": told_command(self.command, self.work_dir)}

    def check(self, option: str = "--work-dir") -> None:
        """Checks that no other job has begun its work dir.

        Args:
            option: that gave the work dir, for the message.

        Raises:
            UserError: another has, or it is not known which.
        """
        check_begun(self.work_dir, self.settings, option)

    def completed(self) -> float:
        """How much of ``total`` is done, as its log says."""
        # Validations, the last row of a short run among them, say no epoch.
        rows = (training_rows if self.by_epoch else read_scalars)(self.work_dir)
        return rows[-1]["epoch" if self.by_epoch else "step"] if rows else 0


def training(
    name: str,
    config: str,
    work_dir: Path,
    seed: int,
    options: Mapping[str, object] | None = None,
    kind: str = "",
) -> Job:
    """A training that goes on where it was broken off.

    Args:
        name: for the progress bar.
        config: from the repository's root.
        work_dir: the training's.
        seed: the training's.
        options: more of its settings.
        kind: of :class:`Job`.
    """
    cfg = Config.fromfile(REPOSITORY / config).train_cfg
    options = {"randomness.seed": seed, **(options or {})}
    settings = [f"{key}={value}" for key, value in options.items()]
    work_dir = work_dir.resolve()
    head = ["tools/train.py", config, "--work-dir", str(work_dir), "--resume"]
    epochs = cfg.get("max_epochs")
    command = (*head, "--cfg-options", *settings)
    return Job(name, command, work_dir, epochs or cfg.max_iters, kind, epochs is not None)


class _Display(Progress):
    """Bars of the jobs, and under them how long all of it will still take."""

    schedule: Schedule | None = None

    def get_renderables(self) -> Iterator[RenderableType]:
        """What is shown."""
        yield from super().get_renderables()
        if self.schedule is not None:
            yield Text(self.schedule.line())


def run_chains(
    chains: Sequence[Sequence[Job]],
    data: Path,
    schedule: Schedule | None = None,
    step: str = "",
) -> None:
    """Runs chains of jobs, as many at a time as there are cores; a chain's jobs in turn.

    Args:
        chains: the jobs.
        data: folder that holds the image sets; it becomes PINAS_DATA.
        schedule: of the demo; it measures the jobs, and its line is shown under the bars, or each
            minute where there is no terminal.
        step: of the schedule, whose works the jobs are.

    Raises:
        UserError: a job failed; names its log. Or the work dir of one is another job's.
    """
    for job in itertools.chain.from_iterable(chains):
        job.check()
    if schedule is not None:
        schedule.begin(step, chains)
    cores = usable_cores()
    lanes = max(min(cores, len(chains)), 1)
    environment = dict(
        os.environ, PINAS_DATA=str(data.resolve()), OMP_NUM_THREADS=str(max(cores // lanes, 1))
    )
    stop = threading.Event()
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
    )
    console = schedule.console if schedule else None
    with (
        _Display(
            *columns, TimeRemainingColumn(), refresh_per_second=1, console=console
        ) as progress,
        concurrent.futures.ThreadPoolExecutor(lanes) as pool,
    ):
        progress.schedule = schedule
        bars = {job: progress.add_task(job.name, total=job.total) for c in chains for job in c}

        def tell(job: Job, completed: float) -> None:
            progress.update(bars[job], completed=completed)
            if schedule is not None:
                schedule.see(job.name, completed)

        def run_chain(chain: Sequence[Job]) -> None:
            for job in chain:
                if not job.done and not stop.is_set():
                    measured = schedule.work(job.name, job) if schedule else nullcontext()
                    with measured:
                        _run(job, environment, stop, functools.partial(tell, job))
                if job.done:
                    progress.update(bars[job], completed=job.total)

        waiting = {pool.submit(run_chain, chain) for chain in chains}
        said = time.monotonic()
        try:
            while waiting:
                ended, waiting = concurrent.futures.wait(
                    waiting, SAY, concurrent.futures.FIRST_COMPLETED
                )
                for future in ended:
                    future.result()
                if schedule and not progress.console.is_terminal and time.monotonic() - said > SAY:
                    said = time.monotonic()
                    schedule.say()
        except BaseException:
            stop.set()
            raise


def _run(
    job: Job, environment: dict[str, str], stop: threading.Event, tell: Callable[[float], None]
) -> None:
    sign(job.work_dir, job.settings)
    log = job.work_dir / "output.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *job.command],
            cwd=REPOSITORY,
            env=environment,
            stdout=output,
            stderr=output,
        )
        try:
            while process.poll() is None and not stop.is_set():
                tell(job.completed())
                stop.wait(LOOK)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait()
    if stop.is_set():
        raise concurrent.futures.CancelledError
    if process.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise UserError(
            f"{job.name} failed with status {process.returncode} ({' '.join(last)}); log: {log}; "
            f"command: PINAS_DATA={environment['PINAS_DATA']} python {' '.join(job.command)}"
        )
    (job.work_dir / "finished").touch()
