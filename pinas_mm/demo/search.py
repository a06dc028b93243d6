"""The demo's search without labels, and whether it agrees with the probe."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from pinas_mm.analysis.ranking import rank
from pinas_mm.demo.jobs import Job
from pinas_mm.errors import UserError
from pinas_mm.model_index import REPOSITORY
from pinas_mm.search.record.reading import read_record
from pinas_mm.search.search import RECORD

PROBE = "configs/demo/digits_search.py"
LABEL_FREE = "configs/demo/digits_search_label_free.py"
TRIALS = 200  # of 10,000 architectures
# What makes both draw the same architectures at random, and how many.
RANDOM, NUMBER = ("--sampler", "RandomSampler"), 60


def label_free(folder: Path, seed: int) -> Job:
    """The search for the winner.

    The winner is not the probe's: what is shown is that a supernet without labels needs none for
    its search either.
    """
    name, source = f"search, seed {seed}", folder / "supernet"
    return job(name, LABEL_FREE, source, folder / "search", seed, TRIALS)


def random_free(folder: Path, seed: int) -> Job:
    """Scores without labels of architectures drawn at random."""
    name, source, drawn = f"label-free of random, seed {seed}", folder / "supernet", "random_free"
    return job(name, LABEL_FREE, source, folder / drawn, seed, NUMBER, *RANDOM)


def random_probe(folder: Path, seed: int) -> Job:
    """The probe's scores of the same architectures."""
    name, source, drawn = f"probe of random, seed {seed}", folder / "linear", "random_probe"
    return job(name, PROBE, source, folder / drawn, seed, NUMBER, *RANDOM)


def search_findings(folder: Path) -> dict[str, Any]:
    """What a seed's search found.

    Returns:
        ``best`` and ``trials`` as in best.json; ``kendall``, ``spearman`` and ``number``: rank
        correlation of the scores without labels and by the probe over the architectures drawn at
        random; ``probe_std``: the deviation of the probe's top-1 over them, in points.
    """
    found = json.loads((folder / "search" / "best.json").read_text())
    probe = scores(folder / "random_probe", "accuracy/top1")
    free = scores(folder / "random_free", "cross_path/score")
    both = sorted(set(probe) & set(free))
    alike = rank([probe[arch] for arch in both], [free[arch] for arch in both], resamples=0)
    return dict(
        best=found["best"],
        trials=found["trials"],
        kendall=alike.kendall.value,
        spearman=alike.spearman.value,
        number=alike.number,
        probe_std=statistics.stdev(probe.values()),
    )


def scores(work_dir: Path, metric: str) -> dict[str, float]:
    """A metric of all architectures that a search evaluated, by their text form."""
    _, _, results, _ = read_record(work_dir / RECORD, metric=metric)
    return {arch: values[""] for arch, values in results.values.items()}


def export(folder: Path, environment: dict[str, str]) -> Path:
    """Writes the winner's stand-alone weights; returns the file."""
    file = folder / "winner.pth"
    command = [
        *("tools/export.py", "--best", str((folder / "search").resolve())),
        *("--supernet", str((folder / "supernet").resolve())),
        *("--out", str(file.resolve()), "--force"),  # A demo that was broken off made it before.
        *("--calibrate", "configs/demo/digits_linear.py"),
    ]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise UserError(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1:]}")
    return file


def job(
    name: str, config: str, source: Path, work_dir: Path, seed: int, trials: int, *options: str
) -> Job:
    """A search.

    Args:
        name: for the progress bar.
        config: from the repository's root.
        source: work dir of what is searched.
        work_dir: the search's.
        seed: the search's.
        trials: architectures.
        options: more of ``tools/search.py``.
    """
    work_dir = work_dir.resolve()
    command = (
        *("tools/search.py", config, str(source.resolve()), "--work-dir", str(work_dir)),
        *("--seed", str(seed), "--trials", str(trials), *options),
    )
    return Job(name, command, work_dir, trials, f"search, {Path(config).stem}")
