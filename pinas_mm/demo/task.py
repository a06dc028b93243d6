"""The demo of a search on the task itself, by box AP and by mIoU, and of its winners' worth."""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from pinas_mm.analysis.ranking import Measure, rank
from pinas_mm.data.digits import prepare
from pinas_mm.demo import search
from pinas_mm.demo.fine_tune import SUPERNET, TUNED
from pinas_mm.demo.jobs import REPOSITORY, Job, run_chains, training
from pinas_mm.files import check_writable, write_atomically, write_json
from pinas_mm.machine import machine
from pinas_mm.search.report.figures import to_png
from pinas_mm.search.report.figures.style import BEST, INK, POINT, heading, panels, styled
from pinas_mm.space import SearchSpace

TRIALS = 60  # of each search
RANDOM = 8  # architectures drawn at random
SEEDS = (0, 1, 2)  # of each fine-tuning
PROBE, TASK, DRAWN = "winner by the probe", "winner by the task", "random architectures"
SOURCE = "model.model.backbone.init_cfg.checkpoint"


@dataclasses.dataclass(frozen=True)
class Task:
    """A model with a supernet in it, and what its search maximizes.

    Attributes:
        name: of its folder and of its config ``configs/demo/task_NAME.py``.
        title: for tables and figures.
        metric: as the library names it.
        percent: what makes it percent.
        steps: of a fine-tuning.
    """

    name: str
    title: str
    metric: str
    percent: float
    steps: int

    @property
    def config(self) -> str:
        """From the repository's root."""
        return f"configs/demo/task_{self.name}.py"


TASKS = (
    Task("mask_rcnn", "Mask R-CNN, COCO layout, box AP", "coco/bbox_mAP", 100, 12),
    Task("deeplabv3", "DeepLabV3, ADE20K layout, mIoU", "mIoU", 1, 30),
)


@dataclasses.dataclass(frozen=True)
class FineTuning(Job):
    """:mod:`pinas_mm.demo.fine_tune` of all architectures of a task."""

    def completed(self) -> float:
        """Trainings."""
        return len(list(self.work_dir.glob(f"*/{TUNED}")))


@dataclasses.dataclass(frozen=True)
class TaskDemo:
    """The demo, for one seed of the supernets.

    Args:
        work_dir: where everything goes.
        demo: work dir of ``make demo``, whose supernet of that seed is taken, and trained where it
            is not there.
        data: folder for the image sets.
        seed: of supernets, searches and the random architectures.
    """

    work_dir: Path
    demo: Path
    data: Path
    seed: int = 0

    def run(self) -> dict[str, Any]:
        """Runs what is not done yet; returns and prints the findings."""
        console, start = Console(), time.monotonic()
        check_writable(self.work_dir, "--work-dir")
        results = self.work_dir / "results.json"
        if results.is_file():
            console.print(f"finished earlier; remove {self.work_dir} to run it again")
            found = json.loads(results.read_text())
        else:
            resumed = (self.work_dir / TASKS[0].name).exists()
            for made in prepare(self.data):
                console.print(str(made))
            supernet = training(
                f"supernet, seed {self.seed}",
                "configs/demo/digits_supernet.py",
                self._pre_trained / "supernet",
                self.seed,
            )
            run_chains([[supernet]], self.data)
            run_chains([*map(self._searched, TASKS), self._probed()], self.data)
            run_chains([[self._fine_tuning(task)] for task in TASKS], self.data)
            found = dict(
                command=f"tools/demo_task.py {' '.join(sys.argv[1:])}".strip(),
                machine=machine(),
                minutes=round((time.monotonic() - start) / 60, 1),
                resumed=resumed,
                tasks={task.name: self._findings(task) for task in TASKS},
            )
            write_json(results, found)
        for shown in (table(found), *texts(found)):
            console.print(shown, soft_wrap=True)
        picture = self.work_dir / "task.png"
        write_atomically(picture, to_png(draw(found)))
        minutes = f"{found['minutes']} minutes{', resumed' if found['resumed'] else ''}"
        console.print(f"{minutes}; picture: {picture}; findings: {results}")
        return found

    @property
    def _pre_trained(self) -> Path:
        return self.demo / f"seed{self.seed}"

    def _searched(self, task: Task) -> list[Job]:
        folder = self.work_dir / task.name / "supernet"
        source = {SOURCE: (self._pre_trained / "supernet").resolve()}
        return [
            training(f"{task.name} supernet", task.config, folder, self.seed, source),
            search.job(
                f"search by {task.metric}",
                task.config,
                folder,
                self.work_dir / task.name / "search",
                self.seed,
                TRIALS,
            ),
        ]

    def _probed(self) -> list[Job]:
        source = {SOURCE: (self._pre_trained / "supernet").resolve()}
        folder = self.work_dir / "probe"
        return [
            training("probe", "configs/demo/digits_linear.py", folder, self.seed, source),
            search.job(
                "search by the probe",
                search.PROBE,
                folder,
                self.work_dir / "probe_search",
                self.seed,
                TRIALS,
            ),
        ]

    def _archs(self, task: Task) -> dict[str, list[str]]:
        """What is fine-tuned, by where it comes from."""
        best = [
            (folder / "best.txt").read_text().strip()
            for folder in (self.work_dir / "probe_search", self.work_dir / task.name / "search")
        ]
        cfg = Config.fromfile(REPOSITORY / task.config)
        space = SearchSpace.build(cfg.model.model.backbone.space.to_dict())
        drawn = space.sample(RANDOM, np.random.default_rng(self.seed))
        return {PROBE: best[:1], TASK: best[1:], DRAWN: [str(arch) for arch in drawn]}

    def _fine_tuning(self, task: Task) -> Job:
        archs = sorted({arch for some in self._archs(task).values() for arch in some})
        folder = self.work_dir / task.name
        command = (
            *("-m", "pinas_mm.demo.fine_tune", task.config, str((folder / "supernet").resolve())),
            *("--archs", *archs, "--seeds", *map(str, SEEDS), "--steps", str(task.steps)),
            *("--work-dir", str((folder / "tuned").resolve())),
        )
        name = f"{len(archs)} {task.name}, fine-tuned"
        return FineTuning(name, command, folder / "tuned", len(archs) * len(SEEDS))

    def _findings(self, task: Task) -> dict[str, Any]:
        """Percent in the supernet and after fine-tuning, by architecture, and who is who."""
        archs, folder = self._archs(task), self.work_dir / task.name / "tuned"
        scores = json.loads((folder / SUPERNET).read_text())
        tuned = {
            arch: [
                task.percent
                * json.loads((folder / f"{arch}_seed{seed}" / TUNED).read_text())[task.metric]
                for seed in SEEDS
            ]
            for arch in scores
        }
        scores = {arch: task.percent * metrics[task.metric] for arch, metrics in scores.items()}
        alike = rank(list(scores.values()), [statistics.fmean(tuned[arch]) for arch in scores])
        kendall = dataclasses.asdict(alike.kendall)
        return dict(archs=archs, supernet=scores, tuned=tuned, kendall=kendall)


def table(found: Mapping[str, Any]) -> Table:
    """One row for each kind of architecture, two columns a task."""
    shown = Table("", title=f"fine-tuned alone, mean of {len(SEEDS)} seeds, %")
    for task in TASKS:
        shown.add_column(task.title, justify="right")
    for kind in (PROBE, TASK, DRAWN):
        cells = []
        for task in TASKS:
            one = found["tasks"][task.name]
            archs = one["archs"][kind]
            means = [statistics.fmean(one["tuned"][arch]) for arch in archs]
            spread = _error(means if len(means) > 1 else one["tuned"][archs[0]])
            name = archs[0] if len(archs) == 1 else f"mean of {len(archs)}"
            cells.append(f"{name}: {statistics.fmean(means):.1f} ± {spread:.1f}")
        shown.add_row(kind, *cells)
    return shown


def texts(found: Mapping[str, Any]) -> list[str]:
    """How the supernets rank, and what the errors are."""
    lines = ["± is the standard error: of a winner over seeds, of random architectures over them"]
    for task in TASKS:
        one = found["tasks"][task.name]
        lines.append(
            f"{task.title}: in the supernet and after fine-tuning Kendall tau "
            f"{Measure(**one['kendall']).shown(2)} over {len(one['supernet'])} architectures"
        )
    return lines


@styled
def draw(found: Mapping[str, Any]) -> Figure:
    """The task's metric in the supernet and after fine-tuning, a panel a task."""
    figure, axes = panels(len(TASKS), 3.4)
    for axis, task in zip(axes, TASKS, strict=True):
        one = found["tasks"][task.name]
        kinds = {DRAWN: (POINT, "o"), PROBE: (INK, "s"), TASK: (BEST, "D")}
        for kind, (color, marker) in kinds.items():
            archs = one["archs"][kind]
            means = [statistics.fmean(one["tuned"][arch]) for arch in archs]
            axis.errorbar(
                [one["supernet"][arch] for arch in archs],
                means,
                yerr=[_error(one["tuned"][arch]) for arch in archs],
                fmt=marker,
                color=color,
                label=kind,
                ms=7,
            )
        axis.set(xlabel="in the supernet, %", ylabel="fine-tuned, %")
        tau = one["kendall"]["value"]
        heading(axis, task.title, f"Kendall tau {tau:.2f}; bars are standard errors over seeds")
        axis.grid(alpha=0.3)
    axes[0].legend()
    return figure


def _error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5
