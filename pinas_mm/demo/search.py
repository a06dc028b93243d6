"""The demo's searches: without labels, by the probe, and whether the two agree."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from mmengine.config import Config

from pinas_mm.analysis.ranking import rank
from pinas_mm.demo.jobs import REPOSITORY, Job
from pinas_mm.errors import UserError
from pinas_mm.search.record.reading import read_record
from pinas_mm.search.search import RECORD

PROBE = "configs/demo/pinas_search.py"
LABEL_FREE = "configs/demo/pinas_search_label_free.py"
# What makes both draw the same architectures at random.
RANDOM = ("--sampler", "RandomSampler")


def label_free(folder: Path, seed: int) -> list[Job]:
    """The search for the winner, and the scores without labels of architectures drawn at random.

    The winner is not the probe's: 1,000 images to validate on count in steps of 0.1 points, and
    architectures of one supernet lie within a few points. A loss has no such steps.
    """
    source, note = folder / "supernet", f", seed {seed}"
    random = folder / "random_free"
    return [
        _job(f"search without labels{note}", LABEL_FREE, source, folder / "search", seed),
        _job(f"label-free of random ones{note}", LABEL_FREE, source, random, seed, *RANDOM),
    ]


def by_probe(folder: Path, seed: int) -> list[Job]:
    """The search by the probe, and its scores of the same architectures drawn at random."""
    source, note = folder / "linear", f", seed {seed}"
    return [
        _job(f"search by the probe{note}", PROBE, source, folder / "search_probe", seed),
        _job(f"probe of random ones{note}", PROBE, source, folder / "random_probe", seed, *RANDOM),
    ]


def search_findings(folder: Path) -> dict[str, Any]:
    """What the searches of a seed's folder found.

    Returns:
        ``best`` and ``trials`` as in best.json, of the search without labels; ``winner_top1``, what
        the probe says of its winner, None where it was not evaluated there; ``probe_winner`` with
        ``arch`` and ``top1``; ``random_top1``, the probe's mean of architectures drawn at random;
        ``kendall``, ``spearman`` and ``number``: rank correlation of the two scores over those.
    """
    found = json.loads((folder / "search" / "best.json").read_text())
    probe = scores(folder / "random_probe", "accuracy/top1")
    free = scores(folder / "random_free", "cross_path/score")
    both = sorted(set(probe) & set(free))
    alike = rank([probe[arch] for arch in both], [free[arch] for arch in both], resamples=0)
    searched = scores(folder / "search_probe", "accuracy/top1")
    probe_winner = (folder / "search_probe" / "best.txt").read_text().strip()
    return dict(
        best=found["best"],
        trials=found["trials"],
        winner_top1=(probe | searched).get(found["best"][0]["arch"]),
        probe_winner=dict(arch=probe_winner, top1=searched[probe_winner]),
        random_top1=sum(probe.values()) / len(probe),
        kendall=alike.kendall.value,
        spearman=alike.spearman.value,
        number=alike.number,
    )


def scores(work_dir: Path, metric: str) -> dict[str, float]:
    """A metric of all architectures that a search evaluated, by their text form."""
    _, _, results = read_record(work_dir / RECORD, metric=metric)
    return {arch: values[""] for arch, values in results.values.items()}


def export(folder: Path, environment: dict[str, str]) -> Path:
    """Writes the winner's stand-alone weights; returns the file."""
    file = folder / "winner.pth"
    command = [
        *("tools/export.py", "--best", str((folder / "search").resolve())),
        *("--supernet", str((folder / "supernet").resolve())),
        *("--out", str(file.resolve()), "--force"),  # A demo that was broken off made it before.
        *("--calibrate", "configs/demo/pinas_linear.py"),
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


def _job(name: str, config: str, source: Path, work_dir: Path, seed: int, *options: str) -> Job:
    work_dir = work_dir.resolve()
    command = (
        *("tools/search.py", config, str(source.resolve()), "--work-dir", str(work_dir)),
        *("--seed", str(seed), *options),
    )
    return Job(name, command, work_dir, Config.fromfile(REPOSITORY / config).search.trials)
