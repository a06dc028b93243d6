"""The demo of a search on the task itself, by box AP and by mIoU, and of its winners' worth."""

from __future__ import annotations

import dataclasses
import functools
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
from pinas_mm.demo.jobs import Job, begin, finished, measured, run_chains, training
from pinas_mm.demo.page import Section, figure, html_table, origin, page, searched, words
from pinas_mm.demo.report import versions
from pinas_mm.demo.schedule import Schedule, Timed, Work
from pinas_mm.files import check_writable, write_atomically, write_json
from pinas_mm.machine import machine
from pinas_mm.model_index import REPOSITORY
from pinas_mm.search.report.figures import to_png
from pinas_mm.search.report.figures.style import BEST, INK, POINT, heading, panels, styled
from pinas_mm.space import SearchSpace

TRIALS = 60  # of each search
RANDOM = 8  # architectures drawn at random
SEEDS = (0, 1, 2)  # of each fine-tuning
PROBE, TASK, DRAWN = "winner by the probe", "winner by the task", "random architectures"
SOURCE = "model.model.backbone.init_cfg.checkpoint"


@dataclasses.dataclass(frozen=True)
class SearchTask:
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
    SearchTask("mask_rcnn", "Mask R-CNN, COCO layout, box AP", "coco/bbox_mAP", 100, 12),
    SearchTask("deeplabv3", "DeepLabV3, ADE20K layout, mIoU", "mIoU", 1, 30),
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
        self._supernet().check("--demo")
        begin(self.work_dir, {"seed": str(self.seed)}, self._searches())
        results = self.work_dir / "results.json"
        found = finished(results, console)
        if found is None:
            resumed = (self.work_dir / TASKS[0].name).exists()
            before = measured("demo-task.json", "demo.json")
            schedule = Schedule(self.steps(), self.work_dir / "times.json", before, console)
            with schedule.step("images"):
                for made in prepare(self.data):
                    console.print(str(made))
            run_chains([[self._supernet()]], self.data, schedule, "training")
            run_chains(self._searches(), self.data, schedule, "search")
            chains = [[self._fine_tuning(task)] for task in TASKS]
            run_chains(chains, self.data, schedule, "fine-tuning")
            found = dict(
                command=f"tools/demo_task.py {' '.join(sys.argv[1:])}".strip(),
                machine=machine(),
                versions=versions(),
                minutes=round((time.monotonic() - start) / 60, 1),
                resumed=resumed,
                seeds=[self.seed],
                tasks={task.name: self._findings(task) for task in TASKS},
                times=schedule.times,
            )
            write_json(results, found)
        for shown in (table(found), *texts(found)):
            console.print(shown, soft_wrap=True)
        picture = self.work_dir / "task.png"
        write_atomically(picture, to_png(draw(found)))
        written = self.work_dir / "index.html"
        write_atomically(written, task_page(self.work_dir, found).encode())
        minutes = f"{found['minutes']} minutes{', resumed' if found['resumed'] else ''}"
        said = f"{minutes}; all of it as a page: {written}; findings: {results}"
        console.print(said, soft_wrap=True)
        return found

    def steps(self) -> dict[str, Sequence[Sequence[Timed]]]:
        """Chains of works of each step, as far as they are known before anything is done."""
        archs = 2 + RANDOM  # One less where both searches have the same winner.
        return {
            "images": [[Work("images", 1)]],
            "training": [[self._supernet()]],
            "search": self._searches(),
            "fine-tuning": [[_tuning(task, archs)] for task in TASKS],
        }

    def _supernet(self) -> Job:
        return training(
            f"supernet, seed {self.seed}",
            "configs/demo/digits_supernet.py",
            self._pre_trained / "supernet",
            self.seed,
            kind="supernet",
        )

    def _searches(self) -> list[list[Job]]:
        return [*map(self._searched, TASKS), self._probed()]

    @property
    def _pre_trained(self) -> Path:
        return self.demo / f"seed{self.seed}"

    def _searched(self, task: SearchTask) -> list[Job]:
        name = f"{task.name} supernet"
        folder = self.work_dir / task.name / "supernet"
        source = {SOURCE: (self._pre_trained / "supernet").resolve()}
        return [
            training(name, task.config, folder, self.seed, source, kind=name),
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
            training(
                "probe", "configs/demo/digits_linear.py", folder, self.seed, source, kind="probe"
            ),
            search.job(
                "search by the probe",
                search.PROBE,
                folder,
                self.work_dir / "probe_search",
                self.seed,
                TRIALS,
            ),
        ]

    def _archs(self, task: SearchTask) -> dict[str, list[str]]:
        """What is fine-tuned, by where it comes from."""
        best = [
            (folder / "best.txt").read_text().strip()
            for folder in (self.work_dir / "probe_search", self.work_dir / task.name / "search")
        ]
        cfg = Config.fromfile(REPOSITORY / task.config)
        space = SearchSpace.build(cfg.model.model.backbone.space.to_dict())
        drawn = space.sample(RANDOM, np.random.default_rng(self.seed))
        return {PROBE: best[:1], TASK: best[1:], DRAWN: [str(arch) for arch in drawn]}

    def _fine_tuning(self, task: SearchTask) -> Job:
        archs = sorted({arch for some in self._archs(task).values() for arch in some})
        folder = self.work_dir / task.name
        command = (
            *("-m", "pinas_mm.demo.fine_tune", task.config, str((folder / "supernet").resolve())),
            *("--archs", *archs, "--seeds", *map(str, SEEDS), "--steps", str(task.steps)),
            *("--work-dir", str((folder / "tuned").resolve())),
        )
        name, work = f"{len(archs)} {task.name}, fine-tuned", _tuning(task, len(archs))
        return FineTuning(name, command, folder / "tuned", work.total, work.kind)

    def _findings(self, task: SearchTask) -> dict[str, Any]:
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


def _tuning(task: SearchTask, archs: int) -> Work:
    return Work(f"fine-tuning, {task.name}", archs * len(SEEDS))


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
def draw(found: Mapping[str, Any], narrow: bool = False) -> Figure:
    """The task's metric in the supernet and after fine-tuning, a panel a task.

    Args:
        found: findings of the demo.
        narrow: whether the figure is for a telephone.
    """
    figure, axes = panels(len(TASKS), 3.4, narrow)
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


def task_page(work_dir: Path, found: Mapping[str, Any]) -> str:
    """The HTML of ``index.html``.

    Args:
        work_dir: of the demo, which holds the searches' pages.
        found: its findings, as in ``results.json``.
    """
    said = "\n".join(texts(found))
    searches = {"probe_search": "Search by the probe"}
    searches |= {f"{task.name}/search": f"Search by {task.title}" for task in TASKS}
    winners = {task.title: found["tasks"][task.name]["archs"][TASK][0] for task in TASKS}
    return page(
        "Pi-NAS, searched by the task's own metric",
        "Supernets in a detector and in a segmentor; and what their winners are worth beside the "
        "probe's and beside random architectures, each fine-tuned alone.",
        [*winners.items(), ("minutes", str(found["minutes"]))],
        [
            *(
                Section(where, title, searched(work_dir, where))
                for where, title in searches.items()
            ),
            Section(
                "worth",
                "What the winners are worth",
                [
                    html_table(table(found)),
                    words(said),
                    figure(functools.partial(draw, found), "worth", said),
                ],
            ),
            *origin(found),
        ],
    )


def _error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5
