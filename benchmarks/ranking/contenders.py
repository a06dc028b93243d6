"""Ways to train a supernet, each on as many images, and how each scores architectures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pinas_mm.demo.jobs import REPOSITORY, Job, training
from pinas_mm.errors import UserError

CONFIGS = Path(__file__).resolve().parent / "configs"
# Where a config names the supernet to start from.
SOURCE = "model.model.backbone.init_cfg.checkpoint"


@dataclasses.dataclass(frozen=True)
class Way:
    """How a supernet scores architectures.

    Attributes:
        name: for results.
        probe: config of a linear classifier that is trained on the frozen supernet and scores by
            its accuracy; None is the score of the supernet's own config.
        options: of that config.
        seed: added to the supernet's for the probe's.
        runs: of how many of the contest's seeds, the first ones; None is all.
    """

    name: str
    probe: str | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    runs: int | None = None


OWN, PROBE = Way("own"), Way("probe1", "probe")
# Of one supernet a second probe too: what a probe's noise is.
AGAIN = Way("probe2", "probe", seed=1000, runs=1)
CONSENSUS = "ConsensusScore"
# What else may score a supernet that is trained without labels.
OTHERS = (
    *(Way(f"partners{n}", options={"search.score.partners": n}) for n in (1, 100)),
    Way("consensus", options={"search.score.type": CONSENSUS, "search.score.partners": 100}),
    Way("stages1", "probe_stages"),
)


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to train a supernet.

    Attributes:
        name: of its config.
        title: for tables.
        ways: how it scores; where it is trained with labels by its own head alone, else without
            labels and by a probe.
        after: name of the contender whose supernet it starts from, or None.
        runs: how many of the contest's seeds, the first ones; None is all.
    """

    name: str
    title: str
    ways: tuple[Way, ...] = (OWN, PROBE)
    after: str | None = None
    runs: int | None = None


CONTENDERS = (
    Contender("pinas", "Pi-NAS", ways=(OWN, PROBE, AGAIN)),
    Contender("pinas_no_cross", "without cross-path learning"),
    Contender("pinas_no_teacher", "without mean teacher"),
    Contender("pinas_no_negatives", "without negatives"),
    Contender("spos", "SPOS", ways=(OWN,)),
    Contender("spos_long", "SPOS, four times as long", ways=(OWN,)),
    Contender("fairnas", "FairNAS", ways=(OWN,)),
    Contender("sandwich", "sandwich rule", ways=(OWN,)),
    # Experiments on what makes the difference: length, labels, where labels start from, what is
    # asked of the paths, other scores, temperatures and partners. Some run once.
    Contender("pinas_long", "Pi-NAS, four times as long", runs=1),
    Contender("spos_few", "SPOS, a label for one image in 20", ways=(OWN,)),
    Contender("spos_short", "SPOS, half as long", ways=(OWN,)),
    Contender("pinas_labels", "Pi-NAS, then the half of SPOS", ways=(OWN,), after="pinas"),
    Contender("spos_rotations", "SPOS, four turns for labels", ways=(OWN,)),
    Contender("pinas_again", "Pi-NAS, trained again", ways=(OWN, PROBE, *OTHERS), runs=1),
    Contender("pinas_cold", "Pi-NAS, temperature 0.1", runs=2),
    Contender("pinas_colder", "Pi-NAS, temperature 0.05", runs=1),
    Contender("pinas_warm", "Pi-NAS, temperature 0.5", runs=1),
    Contender("pinas_paths", "Pi-NAS, four paths a step", runs=1),
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

    def _seeds(self, one: Contender | Way) -> Sequence[int]:
        return self.seeds[: one.runs]

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
        ]
        for way in contender.ways:
            if seed not in self._seeds(way):
                continue
            config, source, of = contender.name, supernet, f"{way.name} of {note}"
            if way.probe:
                config, source = way.probe, folder / way.name
                frozen = {SOURCE: supernet.resolve()}
                jobs.append(self._training(of, config, source, way.seed + seed, frozen))
            found = str(source.resolve())
            jobs.append(self._scoring(of, config, found, folder, way.name, way.options))
        return jobs

    def _training(
        self, note: str, name: str, work_dir: Path, seed: int, options: dict[str, Any]
    ) -> Job:
        if not self.epochs:
            return training(note, _config(name), work_dir, seed, options)
        shorter = {"train_cfg.max_epochs": self.epochs, "train_cfg.val_interval": self.epochs}
        job = training(note, _config(name), work_dir, seed, {**options, **shorter})
        return dataclasses.replace(job, total=self.epochs)

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
