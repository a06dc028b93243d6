"""The search's page: one HTML file that needs nothing else."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pinas_mm.long_work import in_words
from pinas_mm.search.record.findings import Evaluated, Findings
from pinas_mm.search.report.figures.choices import candidate_label
from pinas_mm.search.report.html import render
from pinas_mm.search.report.table import Column, columns
from pinas_mm.space import Arch
from pinas_mm.weights.checkpoint import UNTRAINED

TEMPLATE = "search/report/page.html.jinja"
# Architectures of the short table.
BEST = 20


def render_page(
    findings: Findings,
    folder: Path,
    pictures: Mapping[str, str],
    facts: Mapping[str, str],
    config: str | Path | None = None,
) -> str:
    """The page's HTML.

    It names no folder above the working directory, or where the report lies elsewhere, above that
    which its folder lies in: on other machines there is none of the kind.

    Args:
        findings: of the search.
        folder: where the report lies, for the command lines.
        pictures: SVG elements by name: network, progress, costs, choices, and the same ending in
            ``-narrow`` for telephones.
        facts: what else there is to say of the search, by headings.
        config: file of the search's config, for the command lines.
    """
    below = _Below.of(folder)
    ranked = findings.best()
    made = columns(findings, ranked)
    return render(
        TEMPLATE,
        best=ranked[0] if ranked else None,
        tiles=[(c.name, c.texts[0], bool(c.better)) for c in made] if ranked else [],
        commands=_commands(ranked[0].arch, findings.checkpoint, below, folder, config)
        if ranked
        else [],
        facts=[*_facts(findings, below), *facts.items()],
        columns=made,
        rows=_rows(ranked, made, findings),
        shortest=min(BEST, len(ranked)),
        total=len(ranked),
        several=len(findings.objectives) > 1,
        pruned=findings.states.get("pruned", 0),
        running=findings.states.get("running", 0) + findings.states.get("waiting", 0) > 0,
        pictures={name: Markup(svg) for name, svg in pictures.items()},
        in_words=in_words,
    )


def arch_option(arch: Arch) -> str:
    """``model.backbone.arch=...`` for ``--cfg-options``, which takes 0123 and 1e5 for numbers."""
    text = str(arch)
    try:
        float(text)
        plain = False
    except ValueError:
        plain = text not in ("true", "false")
    return f"model.backbone.arch={text if plain else str(list(arch)).replace(' ', '')}"


@dataclasses.dataclass(frozen=True)
class _Below:
    """The folder that the page's paths begin in.

    Attributes:
        start: the folder.
        name: how the page calls it.
    """

    start: Path
    name: str

    @classmethod
    def of(cls, folder: Path) -> _Below:
        here, folder = Path.cwd(), folder.resolve()
        if folder.is_relative_to(here):
            return cls(here, "the folder that the search was started in")
        return cls(folder.parent, f"the folder that has {folder.name}/")

    def path(self, given: str | Path) -> str:
        """A path from there; of what is elsewhere on this machine the name alone."""
        path = Path(given)
        if not path.is_absolute():
            return str(given)
        return str(path.relative_to(self.start)) if path.is_relative_to(self.start) else path.name


def _commands(
    arch: Arch, checkpoint: str, below: _Below, folder: Path, config: str | Path | None
) -> list[tuple[str, str]]:
    place = shlex.quote(below.path(folder.resolve()))
    weights = "model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=best.pth"
    train = f"python tools/train.py CONFIG --cfg-options {shlex.quote(arch_option(arch))}"
    scratch = ("Train it from scratch, by a config with a PiNASBackbone of this space", train)
    if checkpoint == UNTRAINED:
        return [scratch]
    export = f"python tools/export.py --best {place} --out best.pth"
    if config is not None:
        export += f" --calibrate {shlex.quote(below.path(Path(config).resolve()))}"
    return [
        (
            "Cut the network out of the supernet, with its weights and batch-norm statistics of "
            f"its own (paths are from {below.name})",
            export,
        ),
        scratch,
        ("Or transfer it, from these weights", f"{train} {weights}"),
    ]


def _facts(findings: Findings, below: _Below) -> list[tuple[str, str]]:
    space = findings.space
    states = [f"{count:,} {state}" for state, count in findings.states.items() if count]
    states.sort(key=lambda text: not text.endswith("complete"))
    size = f"{space.size:,}" if space.size < 1e12 else f"10^{len(str(space.size)) - 1}"
    blocks = f"{space.num_candidates} candidates in {space.num_blocks} blocks"
    facts = [
        (
            "Space",
            f"{blocks}: {size} architectures",
        ),
        ("Stages", f"{'-'.join(map(str, space.depths))} blocks"),
        ("Candidates", "\n".join(candidate_label(i, c) for i, c in enumerate(space.candidates))),
        ("Objectives", ", ".join(map(str, findings.objectives))),
        ("Constraints", ", ".join(map(str, findings.constraints)) or "none"),
        ("Sampler", findings.sampler or "not named"),
        ("Checkpoint", below.path(findings.checkpoint) or "not named"),
        ("Trials", ", ".join(states) or "none"),
    ]
    if findings.evaluated:
        facts.append(("Time", in_words(max(e.seconds for e in findings.evaluated))))
    return facts


def _rows(
    ranked: Sequence[Evaluated], made: Sequence[Column], findings: Findings
) -> list[dict[str, Any]]:
    front = {e.trial for e in findings.front()} if len(findings.objectives) > 1 else set()
    return [
        dict(
            rank=index + 1,
            arch=str(e.arch),
            trial=e.trial,
            seconds=round(e.seconds, 1),
            front=e.trial in front,
            cells=[(_plain(c.values[index]), c.texts[index]) for c in made],
        )
        for index, e in enumerate(ranked)
    ]


def _plain(value: float | None) -> str:
    """A number for the page's script, without a zero behind a whole number's point."""
    if value is None or not math.isfinite(value):
        return ""
    return repr(int(value)) if value == int(value) else repr(float(value))
