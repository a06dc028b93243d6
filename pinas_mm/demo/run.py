"""The demo from images to the searched winner and its transfer."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from rich.console import Console

from pinas_mm.data.digits import prepare
from pinas_mm.demo import alone, pictures, report, search, transfer
from pinas_mm.demo.jobs import Job, begin, finished, measured, run_chains, training
from pinas_mm.demo.schedule import Schedule, Timed, Work
from pinas_mm.demo.sections import demo_page
from pinas_mm.demo.settings import told_config
from pinas_mm.engine.config import read_config
from pinas_mm.files import check_writable, write_atomically, write_json
from pinas_mm.machine import machine
from pinas_mm.model_index import REPOSITORY
from pinas_mm.registry import MODELS
from pinas_mm.search.report.figures import to_png
from pinas_mm.whole_numbers import check_seed


@dataclasses.dataclass(frozen=True)
class Demo:
    """One demonstration.

    Args:
        work_dir: where everything goes.
        seeds: one supernet is trained for each.
        supernet, linear: configs, from the repository's root.
        data: folder for the image sets.
        collapse: config that trains the first seed without negatives and without teacher, or
            None.
        transfer_weights: what the transfer's trainings start from, of
            :data:`~pinas_mm.demo.transfer.PRETRAINED` and ``RANDOM``.
    """

    work_dir: Path
    seeds: Sequence[int]
    supernet: str
    linear: str
    data: Path
    collapse: str | None
    transfer_weights: Sequence[str] = (transfer.PRETRAINED,)

    def run(self) -> dict[str, Any]:
        """Runs what is not done yet; returns and prints the findings."""
        console, start = Console(), time.monotonic()
        for seed in self.seeds:
            check_seed(seed)
        check_writable(self.work_dir, "--work-dir")
        begin(self.work_dir, self.settings(), [*self._trainings(), *self._searches()])
        results = self.work_dir / "results.json"
        found = finished(results, console)
        if found is None:
            resumed = self.folder(self.seeds[0]).exists()
            times = self.work_dir / "times.json"
            schedule = Schedule(self.steps(), times, measured("demo.json"), console)
            with schedule.step("images"):
                images = []
                for made in prepare(self.data):
                    console.print(str(made))
                    images.append(made.parameters)
                for seed in self.seeds:
                    self._save_untrained(seed)
            run_chains(self._trainings(), self.data, schedule, "training")
            run_chains(self._searches(), self.data, schedule, "search")
            with schedule.step("export"):
                for seed in self.seeds:
                    search.export(self.folder(seed), self._environment())
            # The longest first, so that no core waits for the last.
            chains = [*self._transfers(), *self._alone()]
            run_chains(chains, self.data, schedule, "transfer")
            with schedule.step("pictures"), _aside(self.work_dir / "pictures.log"):
                drawn = [transfer.draw(self.folder(seed)) for seed in self.seeds]
                pictures.contact_sheet(drawn[0], self.work_dir / "transfer.png")
            with schedule.step("findings"):
                found = self._findings()
            found |= dict(
                images=images,
                minutes=round((time.monotonic() - start) / 60, 1),
                resumed=resumed,
                times=schedule.times,
            )
            write_json(results, found)
        self._draw(found)
        self._show(console, found)
        return found

    def settings(self) -> dict[str, str]:
        """All that decides the findings and is known before anything is done."""
        return dict(
            seeds=" ".join(map(str, self.seeds)),
            supernet=told_config(self.supernet),
            linear=told_config(self.linear),
            collapse=told_config(self.collapse) if self.collapse else "none",
            alone=told_config(alone.CONFIG),
            transfer=" and ".join(told_config(task.config) for task in transfer.TASKS),
            weights=" and ".join(self.transfer_weights),
        )

    def steps(self) -> dict[str, Sequence[Sequence[Timed]]]:
        """Chains of works of each step, as far as they are known before anything is done."""
        seeds = len(self.seeds)
        each = len(self.transfer_weights) * seeds
        transfers = [transfer.work(task) for task in transfer.TASKS]
        return {
            "images": [[Work("images", 1)]],
            "training": self._trainings(),
            "search": self._searches(),
            "export": [[Work("export", seeds)]],
            "transfer": [
                *([work] for work in transfers for _ in range(each)),
                *([work] for _ in self.seeds for work in alone.works()),
            ],
            "pictures": [[Work("pictures", seeds)]],
            "findings": [[Work("findings", seeds)]],
        }

    def folder(self, seed: int) -> Path:
        """Work dir of a seed."""
        return self.work_dir / f"seed{seed}"

    def _trainings(self) -> list[list[Job]]:
        trained = [
            [
                training(
                    f"supernet, seed {s}",
                    self.supernet,
                    self.folder(s) / "supernet",
                    s,
                    kind="supernet",
                )
            ]
            for s in self.seeds
        ]
        others = [
            job
            for seed in self.seeds
            for job in (
                self._probe("probe, untrained", "linear_untrained", "untrained.pth", seed),
                self._untrained(seed),
            )
        ]
        if self.collapse:
            seed = self.seeds[0]
            folder = self.folder(seed) / "collapse"
            name = "no negatives, no teacher"
            others.append(training(name, self.collapse, folder, seed, kind=name))
        return [*trained, others]

    def _searches(self) -> list[list[Job]]:
        chains = []
        for seed in self.seeds:
            probe = self._probe("probe, trained", "linear", "supernet", seed)
            folder = self.folder(seed)
            chains.append([search.label_free(folder, seed)])
            # As long as the search, beside it.
            random = search.random_probe(folder, seed), search.random_free(folder, seed)
            chains.append([probe, *random])
        return chains

    def _alone(self) -> list[list[Job]]:
        jobs = (alone.trainings(self.folder(seed), seed) for seed in self.seeds)
        return [[job] for chain in jobs for job in chain]

    def _transfers(self) -> list[list[Job]]:
        folders = {seed: self.folder(seed) for seed in self.seeds}
        jobs = transfer.trainings(folders, self.transfer_weights)
        return [[job] for job in jobs]

    def _probe(self, name: str, work_dir: str, source: str, seed: int) -> Job:
        folder = self.folder(seed)
        checkpoint = {"model.model.backbone.init_cfg.checkpoint": (folder / source).resolve()}
        name = f"{name}, seed {seed}"
        return training(name, self.linear, folder / work_dir, seed, checkpoint, "probe")

    def _save_untrained(self, seed: int) -> None:
        """The supernet as it starts, for the comparison."""
        file = self.folder(seed) / "untrained.pth"
        if file.is_file():
            return
        init_default_scope("mmpretrain")
        set_random_seed(seed)
        model = MODELS.build(read_config(self.supernet).model)
        MMLogger.get_current_instance().setLevel(logging.WARNING)
        model.init_weights()
        content = io.BytesIO()
        torch.save({"state_dict": model.state_dict()}, content)
        write_atomically(file, content.getvalue())

    def _untrained(self, seed: int) -> Job:
        """Scores the supernet as it starts."""
        folder = self.folder(seed).resolve()
        out, work_dir = folder / "untrained.json", folder / "test_untrained"
        words = ["tools/test.py", self.supernet, folder / "untrained.pth"]
        words += ["--work-dir", work_dir, "--out", out]
        name = f"retrieval, untrained, seed {seed}"
        return Job(name, tuple(map(str, words)), work_dir, 1, "retrieval, untrained")

    def _untrained_findings(self, seed: int) -> dict[str, float]:
        metrics = json.loads((self.folder(seed) / "untrained.json").read_text())
        return dict(spread=metrics["retrieval/spread"], retrieval=metrics["retrieval/top1"])

    def _environment(self) -> dict[str, str]:
        return os.environ | {"PINAS_DATA": str(self.data.resolve())}

    def _findings(self) -> dict[str, Any]:
        batch_size = Config.fromfile(REPOSITORY / self.supernet).train_dataloader.batch_size
        runs, searches, transfers, worth = [], {}, {}, {}
        for seed in self.seeds:
            folder = self.folder(seed)
            run = {
                "untrained": self._untrained_findings(seed)
                | report.probe_findings(folder / "linear_untrained"),
                "trained": report.training_findings(folder / "supernet", batch_size)
                | report.probe_findings(folder / "linear"),
            }
            if (folder / "collapse").is_dir():
                collapsed = report.training_findings(folder / "collapse", batch_size)
                run["no negatives, no teacher"] = collapsed
            runs.append(run)
            searches[str(seed)] = search.search_findings(folder)
            transfers[str(seed)] = transfer.findings(folder, self.transfer_weights)
            worth[str(seed)] = alone.findings(folder, seed)
        return dict(
            command=f"tools/demo.py {' '.join(sys.argv[1:])}",
            machine=machine(),
            versions=report.versions(),
            pixels_top1=report.pixel_baseline(self.data / "fragments"),
            seeds={str(seed): run for seed, run in zip(self.seeds, runs, strict=True)},
            mean=report.mean_findings(runs),
            searches=searches,
            alone=worth,
            transfers=transfers,
            transfer_mean=report.mean_findings(list(transfers.values())),
        )

    def _draw(self, found: dict[str, Any]) -> None:
        """The page, and its figures as files."""
        folder = self.folder(int(next(iter(found["seeds"]))))
        figures = {
            "curves": report.draw_curves(report.curves(folder)),
            "alone": alone.draw(found["alone"]),
        }
        for name, figure in figures.items():
            write_atomically(self.work_dir / f"{name}.png", to_png(figure))
        write_atomically(self.work_dir / "index.html", demo_page(self.work_dir, found).encode())

    def _show(self, console: Console, found: dict[str, Any]) -> None:
        for seed, run in found["seeds"].items():
            console.print(report.table(run, f"seed {seed}"))
        if len(found["seeds"]) > 1:
            console.print(report.table(found["mean"], f"mean of {len(found['seeds'])} seeds"))
        console.print(f"a linear classifier on pixels: {found['pixels_top1']:.1f} %")
        for seed, searched in found["searches"].items():
            console.print(report.search_table(searched, f"search, seed {seed}"))
            console.print(report.search_text(searched), soft_wrap=True)
            page = self.folder(int(seed)) / "search" / "search.html"
            console.print(f"{page}; the winner: {self.folder(int(seed)) / 'winner.pth'}")
        console.print(alone.text(found["alone"]), soft_wrap=True)
        number = len(found["seeds"])
        title = f"transfer{f', mean of {number} seeds' if number > 1 else ''}"
        console.print(report.table(found["transfer_mean"], title, report.TRANSFER_ROWS))
        minutes = f"{found['minutes']} minutes{', resumed' if found.get('resumed') else ''}"
        console.print(
            f"{minutes}; all of it as a page: {self.work_dir / 'index.html'}; "
            f"findings: {self.work_dir / 'results.json'}; "
            f"TensorBoard: tensorboard --logdir {self.work_dir}",
            soft_wrap=True,
        )


@contextlib.contextmanager
def _aside(file: Path) -> Iterator[None]:
    """Sends what libraries print to a file: nobody can act on their warnings here."""
    with (
        file.open("a") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        MMLogger.get_instance(file.stem)
        yield
