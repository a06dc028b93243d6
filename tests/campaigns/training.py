"""Trainings that are killed and resumed, against one that nobody disturbs."""

import json
import random
import shutil
import time
from pathlib import Path

import torch
from files import damaged_files
from processes import Round, Run

from pinas_mm.weights.checkpoint import find_checkpoint, read_checkpoint

CONFIGS = Path(__file__).resolve().parent / "configs"
KINDS = ("epochs", "iterations", "middle")
# What is measured and not computed.
MEASURED = ("time", "data_time", "memory", "eta")
LONGEST = 1800.0


class Trainings:
    """Rounds of trainings, by turns by epochs, by iterations, and broken off within epochs.

    Args:
        folder: where they run.
        kills: of each round.
    """

    def __init__(self, folder: Path, kills: int) -> None:
        self._folder, self._kills = folder, kills
        self._started = 0.0

    def close(self) -> None:
        """There is nothing to end."""

    def round(self, number: int, rng: random.Random, kills: int) -> Round:
        """A training that is killed up to ``kills`` times and then left alone."""
        kind, done = KINDS[number % len(KINDS)], Round()
        length = self._reference(kind)
        work_dir = self._folder / f"round_{number}"
        shutil.rmtree(work_dir, ignore_errors=True)
        while True:
            done.starts += 1
            run = self._start(kind, work_dir)
            if done.kills == kills:
                if run.wait(LONGEST):
                    run.kill()
                    done.fault("not_gone_on", f"it did not end in {LONGEST} s")
                break
            if not self._wait(run, work_dir, rng, 2 * length / self._kills):
                break
            if rng.random() < 0.3:
                done.stop(run, run.pid, rng, 1.0)
                run.wait(rng.uniform(0, 0.2))
            if run.status is not None:
                break
            run.kill()
            done.kills += 1
        done.ended(run)
        compare(self._folder / kind, work_dir, done)
        return done

    def _wait(self, run: Run, work_dir: Path, rng: random.Random, longest: float) -> bool:
        """Waits for a random moment: in the start, in the training, in the writing of a file."""
        moment, delay = rng.random(), rng.uniform(0, longest)
        if moment < 0.15:
            return run.wait(rng.uniform(0, 2.0))
        if not run.wait(LONGEST, lambda: "(train)" in run.printed) or not run.wait(delay):
            return False
        if moment < 0.5:
            writing = run.wait(LONGEST, lambda: any(work_dir.glob(".*.tmp")))
            return writing and run.wait(rng.uniform(0, 0.01))
        return True

    def _start(self, kind: str, work_dir: Path) -> Run:
        # Log folders are named after the second.
        time.sleep(max(self._started + 1.05 - time.monotonic(), 0))
        self._started = time.monotonic()
        arguments = [CONFIGS / f"{kind}.py", "--work-dir", work_dir, "--resume"]
        return Run("train.py", arguments, self._folder / f"{work_dir.name}.log")

    def _reference(self, kind: str) -> float:
        """Trains undisturbed where that was not done yet; how long it takes after its start."""
        folder, file = self._folder / kind, self._folder / f"{kind}.seconds"
        if not file.exists():
            shutil.rmtree(folder, ignore_errors=True)
            run = self._start(kind, folder)
            run.wait(LONGEST, lambda: "(train)" in run.printed)
            began = time.monotonic()
            run.wait(LONGEST)
            if run.status != 0:
                raise SystemExit(f"the unbroken run failed: {run.printed[-2000:]}")
            file.write_text(str(time.monotonic() - began))
        return float(file.read_text())


def compare(reference: Path, work_dir: Path, done: Round) -> None:
    """Counts what a finished work dir has that the undisturbed one has not, and the reverse."""
    wanted = {}
    for rows in _logs(reference):
        wanted |= rows
    seen, differing = set(), []
    for rows in _logs(work_dir, done):
        seen |= rows.keys()
        differing += [
            f"{row} was {wanted[key]}" for key, row in rows.items() if row != wanted.get(key, row)
        ]
    done.fault("differing", f"{work_dir}: {'; '.join(differing[:2])}", len(differing))
    for what in ("train", "val"):
        missing = sorted(step for kind, step in wanted.keys() - seen if kind == what)
        beyond = sorted(step for kind, step in seen - wanted.keys() if kind == what)
        done.fault("lost", f"{work_dir}: {what} {missing}", len(missing))
        done.fault("doubled", f"{work_dir}: {what} {beyond}", len(beyond))
    files = [{p.name for p in folder.glob("*.pth")} for folder in (reference, work_dir)]
    left = sorted(files[1] - files[0])
    done.fault("half_written", f"{work_dir}: {left} left behind", len(left))
    damaged = damaged_files(work_dir)
    done.fault("half_written", "; ".join(damaged), len(damaged))
    last = work_dir / find_checkpoint(reference).name
    if not last.exists():
        done.fault("lost", f"{last} is missing")
        return
    ours, theirs = read_checkpoint(last), read_checkpoint(reference)
    for part in ("state_dict", "optimizer", "param_schedulers"):
        if not _equal(ours[part], theirs[part]):
            done.fault("differing", f"{last}: {part}")


def _logs(work_dir: Path, done: Round | None = None) -> list[dict]:
    """Of each start the rows that it logged, by train or val and step, less what is measured."""
    logs = []
    for file in sorted(work_dir.glob("*/vis_data/scalars.json")):
        rows, last = {}, None
        for line in file.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                continue
            row = {key: v for key, v in json.loads(line).items() if key not in MEASURED}
            key = "train" if "loss" in row else "val", row["step"]
            if key[0] == "train" and done is not None:
                step = int(row["step"])
                if last is not None and step != last + 1:
                    kind = "lost" if step > last else "doubled"
                    done.fault(kind, f"{file}: after step {last} comes {step}")
                last = step
            rows[key] = row
        logs.append(rows)
    return logs


def _equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other
