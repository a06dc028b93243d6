"""Runs the demo's tools as processes, one chain a core, and shows how far they are."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmengine.config import Config
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pinas_mm.demo.scalars import read_scalars
from pinas_mm.errors import UserError
from pinas_mm.machine import usable_cores

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Job:
    """One run of a tool that goes on where it was broken off.

    Args:
        name: shown on the progress bar.
        command: the tool and its arguments, as a user would type them after ``python``.
        work_dir: where it goes; a finished one is not run again.
        total: epochs or iterations of a training, architectures of a search, for the bar.
    """

    name: str
    command: tuple[str, ...]
    work_dir: Path
    total: int

    @property
    def done(self) -> bool:
        """Whether the training has reached its end."""
        return (self.work_dir / "finished").is_file()

    def completed(self) -> float:
        """How much of ``total`` is done, as its log says."""
        rows = read_scalars(self.work_dir)
        return rows[-1].get("epoch", rows[-1]["step"]) if rows else 0


def training(
    name: str, config: str, work_dir: Path, seed: int, options: Mapping[str, object] | None = None
) -> Job:
    """A training that goes on where it was broken off.

    Args:
        name: for the progress bar.
        config: from the repository's root.
        work_dir: the training's.
        seed: the training's.
        options: more of its settings.
    """
    cfg = Config.fromfile(REPOSITORY / config).train_cfg
    options = {"randomness.seed": seed, **(options or {})}
    settings = [f"{key}={value}" for key, value in options.items()]
    work_dir = work_dir.resolve()
    head = ["tools/train.py", config, "--work-dir", str(work_dir), "--resume"]
    total = cfg.get("max_epochs") or cfg.max_iters
    return Job(name, (*head, "--cfg-options", *settings), work_dir, total)


def run_chains(chains: Sequence[Sequence[Job]], data: Path) -> None:
    """Runs chains of jobs, as many at a time as there are cores; a chain's jobs in turn.

    Args:
        chains: the jobs.
        data: folder that holds the image sets; it becomes PINAS_DATA.

    Raises:
        UserError: a job failed; names its log.
    """
    cores = usable_cores()
    lanes = min(cores, len(chains))
    environment = dict(
        os.environ, PINAS_DATA=str(data.resolve()), OMP_NUM_THREADS=str(max(cores // lanes, 1))
    )
    stop = threading.Event()
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
    )
    with (
        Progress(*columns, TimeRemainingColumn(), refresh_per_second=1) as progress,
        concurrent.futures.ThreadPoolExecutor(lanes) as pool,
    ):
        bars = {job: progress.add_task(job.name, total=job.total) for c in chains for job in c}

        def run_chain(chain: Sequence[Job]) -> None:
            for job in chain:
                if not job.done and not stop.is_set():
                    _run(
                        job,
                        environment,
                        stop,
                        # mypy infers no default of a lambda.
                        lambda n, j=job: progress.update(bars[j], completed=n),  # type: ignore[misc]
                    )
                if job.done:
                    progress.update(bars[job], completed=job.total)

        futures = [pool.submit(run_chain, chain) for chain in chains]
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
        except BaseException:
            stop.set()
            raise


def _run(
    job: Job, environment: dict[str, str], stop: threading.Event, tell: Callable[[float], None]
) -> None:
    job.work_dir.mkdir(parents=True, exist_ok=True)
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
                stop.wait(2)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait()
    if stop.is_set():
        return
    if process.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise UserError(
            f"{job.name} failed with status {process.returncode} ({' '.join(last)}); log: {log}; "
            f"command: PINAS_DATA={environment['PINAS_DATA']} python {' '.join(job.command)}"
        )
    (job.work_dir / "finished").touch()
