"""Ways to train a supernet, each on as many images, and how each scores architectures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from pinas_mm.demo.jobs import REPOSITORY, Job
from pinas_mm.errors import UserError

CONFIGS = Path(__file__).resolve().parent / "configs"
PROBE = "probe"
# Where a config names the supernet to start from.
SOURCE = "model.model.backbone.init_cfg.checkpoint"
# Seeds of the second probe of one supernet: what a probe's noise is.
SECOND = 1000


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to train a supernet.

    Attributes:
        name: of its config.
        title: for tables.
        labelled: whether it is trained with labels; its own head scores then, else a probe does,
            and the score without labels.
        after: name of the contender whose supernet it starts from, or None.
        runs: how many of the contest's seeds, the first ones; None is all.
    """

    name: str
    title: str
    labelled: bool = False
    after: str | None = None
    runs: int | None = None


CONTENDERS = (
    Contender("pinas", "Pi-NAS"),
    Contender("pinas_no_cross", "without cross-path learning"),
    Contender("pinas_no_teacher", "without mean teacher"),
    Contender("pinas_no_negatives", "without negatives"),
    Contender("spos", "SPOS", labelled=True),
    Contender("spos_long", "SPOS, four times as long", labelled=True),
    Contender("fairnas", "FairNAS", labelled=True),
    Contender("sandwich", "sandwich rule", labelled=True),
    # Experiments on what makes the difference: length, labels, where labels start from, and what is
    # asked of the paths. The longest of all runs once.
    Contender("pinas_long", "Pi-NAS, four times as long", runs=1),
    Contender("spos_few", "SPOS, a label for one image in 20", labelled=True),
    Contender("spos_short", "SPOS, half as long", labelled=True),
    Contender("pinas_labels", "Pi-NAS, then the half of SPOS", labelled=True, after="pinas"),
    Contender("spos_rotations", "SPOS, four turns for labels", labelled=True),
)
# Scores of untrained networks, and the config whose model and images they take.
ZERO_COST = "zero_cost"
ZERO_COST_CONFIG = "spos"
ZERO_COST_SCORES = dict(
    params="CostScore", synflow="SynFlowScore", naswot="NASWOTScore", grad_norm="GradNormScore"
)


@dataclasses.dataclass(frozen=True)
class Contest:
    """Trains contenders in several seeds and scores the architectures of a table by them.

    Attributes:
        contenders: which.
        seeds: of the supernets.
        table: JSON file of the stand-alone results.
        folder: where everything goes; what is done there is not done again.
        shift_images, shift_pairs: see :func:`~pinas_mm.analysis.shift.measure_shifts`.
        epochs: of all trainings in place of the configs', for a quick look; None leaves them.
        untrained: whether untrained networks score them too.

    Raises:
        UserError: a contender starts from one that is not among them.
    """

    contenders: Sequence[Contender]
    seeds: Sequence[int]
    table: Path
    folder: Path
    shift_images: int = 256
    shift_pairs: int = 16
    epochs: int | None = None
    untrained: bool = True

    def __post_init__(self) -> None:
        names = {contender.name for contender in self.contenders}
        for contender in self.contenders:
            if contender.after and contender.after not in names:
                raise UserError(
                    f"contender {contender.name} starts from {contender.after}, which is not "
                    f"trained with it: there are {', '.join(sorted(names))}"
                )

    def chains(self) -> list[list[Job]]:
        """What is to be run, a chain for each supernet and those that start from it."""
        firsts = [contender.name for contender in self.contenders if not contender.after]
        trained = [
            [
                job
                for c in self.contenders
                if one in (c.name, c.after) and seed in self._seeds(c)
                for job in self._chain(c, seed)
            ]
            for seed in self.seeds
            for one in firsts
        ]
        seeds = self.seeds if self.untrained else ()
        return [*trained, *(self._untrained(seed) for seed in seeds)]

    def results(self) -> dict[str, dict[str, Any]]:
        """By contender and seed ``scores``, by name and architecture, and the trained ones'
        ``shifts``.
        """
        found: dict[str, dict[str, Any]] = {}
        seeds = {contender.name: self._seeds(contender) for contender in self.contenders}
        if self.untrained:
            seeds[ZERO_COST] = self.seeds
        for name, used in seeds.items():
            for seed in used:
                folder = self._of(name, seed)
                made: dict[str, Any] = dict(scores={})
                for file in sorted(folder.glob("scores_*.json")):
                    made["scores"] |= {
                        f"{file.stem.removeprefix('scores_')} {score}": values
                        for score, values in json.loads(file.read_text()).items()
                    }
                if name != ZERO_COST:
                    shifts = json.loads((folder / "shifts.json").read_text())
                    made["shifts"] = {key: shifts[key] for key in ("overall", "places")}
                found.setdefault(name, {})[str(seed)] = made
        return found

    def _seeds(self, contender: Contender) -> Sequence[int]:
        return self.seeds[: contender.runs]

    def _of(self, name: str, seed: int) -> Path:
        return self.folder / f"{name}_{seed}"

    def _untrained(self, seed: int) -> list[Job]:
        jobs = []
        for kind, score in ZERO_COST_SCORES.items():
            options = {
                "search.score": score,
                "search.objectives": f"zero_cost/{kind}",
                "search.seed": seed,
            }
            folder = self._of(ZERO_COST, seed)
            note = f"untrained by {score}, seed {seed}"
            jobs.append(self._scoring(note, ZERO_COST_CONFIG, "untrained", folder, kind, options))
        return jobs

    def _chain(self, contender: Contender, seed: int) -> list[Job]:
        folder, note = self._of(contender.name, seed), f"{contender.title}, seed {seed}"
        supernet = folder / "supernet"
        start = {}
        if contender.after:
            start = {SOURCE: (self._of(contender.after, seed) / "supernet").resolve()}
        jobs = [
            self._training(note, contender.name, supernet, seed, start),
            self._shifts(note, contender.name, folder),
            self._scoring(note, contender.name, str(supernet.resolve()), folder, "own"),
        ]
        if not contender.labelled:
            # Of one supernet a second probe too.
            again = contender.name == CONTENDERS[0].name and seed == self.seeds[0]
            for number, probe_seed in enumerate([seed, SECOND + seed][: 1 + again], 1):
                probe = folder / f"probe{number}"
                source = {SOURCE: supernet.resolve()}
                jobs += [
                    self._training(f"probe of {note}", PROBE, probe, probe_seed, source),
                    self._scoring(
                        f"probe of {note}", PROBE, str(probe.resolve()), folder, f"probe{number}"
                    ),
                ]
        return jobs

    def _training(
        self, note: str, name: str, work_dir: Path, seed: int, options: dict | None = None
    ) -> Job:
        options = {"randomness.seed": seed, **(options or {})}
        if self.epochs:
            options |= {"train_cfg.max_epochs": self.epochs, "train_cfg.val_interval": self.epochs}
        epochs = self.epochs or Config.fromfile(_config(name)).train_cfg.max_epochs
        command = (
            *("tools/train.py", _config(name), "--work-dir", str(work_dir.resolve()), "--resume"),
            *_options(options),
        )
        return Job(note, command, work_dir, epochs)

    def _shifts(self, note: str, name: str, folder: Path) -> Job:
        command = (
            *("tools/measure_shift.py", _config(name), str((folder / "supernet").resolve())),
            *("--images", str(self.shift_images), "--pairs", str(self.shift_pairs)),
            *("--work-dir", str((folder / "shifts").resolve())),
            *("--out", str((folder / "shifts.json").resolve())),
        )
        return Job(f"shifts of {note}", command, folder / "shifts", 1)

    def _scoring(
        self,
        note: str,
        name: str,
        source: str,
        folder: Path,
        kind: str,
        options: dict[str, Any] | None = None,
    ) -> Job:
        command = (
            *("benchmarks/ranking/score.py", _config(name), source),
            *("--table", str(self.table.resolve())),
            *("--work-dir", str((folder / f"scoring_{kind}").resolve())),
            *("--out", str((folder / f"scores_{kind}.json").resolve())),
            *_options(options or {}),
        )
        return Job(f"scores of {note}", command, folder / f"scoring_{kind}", 1)


def _options(options: dict[str, Any]) -> tuple[str, ...]:
    settings = (f"{key}={value}" for key, value in options.items())
    return ("--cfg-options", *settings) if options else ()


def _config(name: str) -> str:
    return str((CONFIGS / f"{name}.py").relative_to(REPOSITORY))
