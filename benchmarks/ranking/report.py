#!/usr/bin/env python
"""Makes the tables and figures of pages from a run's results.

    python benchmarks/ranking/report.py docs/ranking.json docs/ranking.md README.md

The pages' tables stand between ``<!-- table NAME -->`` and ``<!-- end -->``; those of a run are
written anew. Figures lie beside the first page, as ranking_NAME.png. Without a page the tables are
printed.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path[:0] = [str(folder) for folder in Path(__file__).resolve().parents[:3]]

import numpy as np
from contenders import CONTENDERS, ZERO_COST
from evidence import (
    BY_LABELS,
    TUNED,
    Scored,
    Truth,
    candidate_ranks,
    difference,
    measured,
    noise,
    scored,
    shifts,
)
from matplotlib.figure import Figure
from page import markdown, rewritten, source
from scipy.stats import kendalltau
from under_scores import compared

from pinas_mm.analysis.ranking import RESAMPLES, rank
from pinas_mm.commands.command import command
from pinas_mm.errors import UserError
from pinas_mm.files import write_atomically, write_output
from pinas_mm.search.report.figures import to_png
from pinas_mm.search.report.figures.style import BEST, MUTED, POINT, heading, panels, styled

# Of searches in another's table, which a run of the benchmark does not make anew.
UNDER_SCORES = Path(__file__).resolve().parents[2] / "docs" / "search_under_scores.json"
TITLES = {contender.name: contender.title for contender in CONTENDERS} | {ZERO_COST: "untrained"}
KINDS = {
    "probe1 accuracy/top1": "probe",
    "own accuracy/top1": "trained head",
    "own cross_path/score": "without labels",
    "partners1 cross_path/score": "without labels, 1 partner for 10",
    "partners100 cross_path/score": "without labels, 100 partners",
    "consensus cross_path/score": "without labels, consensus of 100",
    "stages1 accuracy/top1": "probe of all stages",
}
SHIFTS = {
    "feature/cosine": "feature shift (cosine)",
    "feature/cka": "feature shift (CKA)",
    "parameter/cosine": "parameter shift (cosine)",
    "parameter/conflict": "parameter shift (conflict)",
}
# Whose shifts are drawn, each in a color of its own; the experiments' are in the table.
DRAWN = ("pinas", "pinas_no_cross", "pinas_no_teacher", "pinas_no_negatives")
DRAWN += ("spos", "spos_long", "fairnas", "sandwich")
# Who stands in the table in brief, the label-free score of the first one alone.
BRIEF = ("pinas", "pinas_no_cross", "pinas_no_teacher", "pinas_no_negatives")
BRIEF += ("spos", "fairnas", "sandwich", "spos_rotations")
# Whose view of the candidates is shown, in how many of the first blocks.
SHOWN = ("pinas", "spos_rotations", "pinas_labels", "spos_few", "spos", "fairnas")
BLOCKS = 3


class Page:
    """Everything that is shown of a run's results.

    Args:
        results: what ``run.py`` wrote.
        resamples: of the intervals.
    """

    def __init__(self, results: Mapping[str, Any], resamples: int = RESAMPLES) -> None:
        self.results, self._resamples = results, resamples
        rows = results["table"]["rows"]
        # A reduced run has fewer than are left out.
        number = len({row["arch"] for row in rows})
        self.truth = Truth.of(rows, TUNED if number > 2 * TUNED else 0)
        self.scored = scored(results, self.truth, resamples)

    def tables(self) -> dict[str, str]:
        """By name, as Markdown."""
        return dict(
            benchmark=self._benchmark(),
            contenders=self._contenders(),
            differences=self._differences(),
            candidates=self._candidates(),
            shifts=self._shifts(),
            noise=self._noise(),
            ranking=self._brief(),
            under_scores=self._under_scores(),
        )

    def figures(self) -> dict[str, Figure]:
        """By name."""
        return dict(
            taus=self._draw_taus(), scatter=self._draw_scatter(), shifts=self._draw_shifts()
        )

    def best_of(self, contender: str) -> Scored:
        """How a contender ranks by labels: a probe or its trained head."""
        for one in self.scored:
            if one.contender == contender and one.score.endswith(BY_LABELS):
                return one
        raise UserError(f"the results have no {BY_LABELS} of {contender}")

    @staticmethod
    def _under_scores() -> str:
        results = json.loads(UNDER_SCORES.read_text())
        return f"{compared(results['figures'])}\n\n{source(results)}"

    def _benchmark(self) -> str:
        truth, table = self.truth, self.results["table"]
        by_cost = {
            name: rank(truth.accuracy, cost, resamples=self._resamples)
            for name, cost in truth.costs.items()
        }
        low, high = truth.mean.min(), truth.mean.max()
        rows = [
            ("architectures; seeds of each", f"{len(truth.archs)}; {truth.accuracy.shape[1]}"),
            ("steps of each training", f"{table['recipe']['steps']:,}"),
            ("accuracy, mean over seeds", f"{low:.1f} to {high:.1f} %"),
            ("standard deviation between architectures", f"{truth.mean.std():.1f} points"),
            (
                "standard deviation between seeds",
                f"{np.sqrt(truth.accuracy.var(axis=1, ddof=1).mean()):.1f} points",
            ),
            ("Kendall tau between two seeds (the ceiling)", by_cost["macs"].ceiling.shown(3)),
            ("Kendall tau of multiply-adds with accuracy", by_cost["macs"].kendall.shown(3)),
            ("Kendall tau of parameters with accuracy", by_cost["params"].kendall.shown(3)),
            *self._longer(),
        ]
        return markdown(("the benchmark", ""), rows)

    def _longer(self) -> list[tuple[str, str]]:
        """What more steps change, of the architectures that were trained again, where any were."""
        table, shown = self.results["table"], []
        for longer in table.get("longer", ()):
            archs = dict.fromkeys(row["arch"] for row in longer["rows"])
            means = [
                [np.mean([r["accuracy"] for r in rows if r["arch"] == arch]) for arch in archs]
                for rows in (table["rows"], longer["rows"])
            ]
            gains = np.subtract(*reversed(means))
            name = f"{len(archs)} architectures with {longer['steps']:,} steps"
            shown += [
                (f"{name}: they gain", f"{gains.min():.1f} to {gains.max():.1f} points"),
                (f"{name}: Kendall tau with the table", f"{kendalltau(*means).statistic:.3f}"),
            ]
        return shown

    def _contenders(self) -> str:
        header = ("supernet", "scored by", "Kendall tau", "not recalibrated", "costs held fixed")
        header += ("Spearman", "regret of the best", "regret of the best of 10")
        rows = []
        for one in self.scored:
            running = np.nan if one.running is None else one.running[0]
            regrets = (_number(one.mean("regret", k), 1) for k in (1, 10))
            rows.append(
                (
                    TITLES[one.contender],
                    KINDS.get(one.score, one.score.rpartition("/")[2]),
                    measured(one.taus).shown(3),
                    _number(running),
                    _number(one.mean("partial")),
                    _number(one.mean("spearman")),
                    *regrets,
                )
            )
        return markdown(header, rows)

    def _brief(self) -> str:
        header = ("supernet", "scored by", "Kendall tau", "best of ten misses by")
        first = CONTENDERS[0].name
        rows = [
            (
                TITLES[one.contender],
                KINDS[one.score],
                _number(one.taus[0], 2),
                f"{_number(one.mean('regret', 10), 1)} points",
            )
            for one in self.scored
            if one.contender == first or (one.contender in BRIEF and one.score.endswith(BY_LABELS))
        ]
        return markdown(header, rows)

    def _differences(self) -> str:
        first = CONTENDERS[0].name
        own = self.best_of(first)
        rows = []
        for contender in CONTENDERS[1:]:
            if contender.name in self.results["contest"]:
                gap = difference(own, self.best_of(contender.name))
                rows.append((contender.title, gap.shown(3)))
        rows += [
            (f"untrained, {one.score.rpartition('/')[2]}", difference(own, one).shown(3))
            for one in self.scored
            if one.contender == ZERO_COST
        ]
        return markdown((f"{TITLES[first]} by its probe, less", "Kendall tau"), rows)

    def _candidates(self) -> str:
        shown = {"trained alone": [self.truth.mean]}
        for name in SHOWN:
            if name in self.results["contest"]:
                score = self.best_of(name).score
                runs = self.results["contest"][name].values()
                shown[TITLES[name]] = [self.truth.scores(run["scores"][score]) for run in runs]
        rows = []
        for title, runs in shown.items():
            ranks = [candidate_ranks(self.truth.archs, values, BLOCKS) for values in runs]
            rows.append((title, *(f"{np.mean([r[key] for r in ranks]):.2f}" for key in ranks[0])))
        return markdown(("ranked by", *(f"candidate {key}" for key in ranks[0])), rows)

    def _shifts(self) -> str:
        rows = [
            (TITLES[name], *(found[measure].shown() for measure in SHIFTS))
            for name, found in shifts(self.results).items()
        ]
        return markdown(("supernet", *SHIFTS.values()), rows)

    def _noise(self) -> str:
        found = noise(self.results, self.truth, self._resamples)
        rows = [(name, measure.shown(3)) for name, measure in found.items()]
        return markdown((f"probe of {CONTENDERS[0].title}", "Kendall tau"), rows)

    @styled
    def _draw_taus(self) -> Figure:
        figure, (axis,) = panels(1, 0.34 * len(self.scored) + 1.2)
        for place, one in enumerate(reversed(self.scored)):
            measure = measured(one.taus)
            color = BEST if one.contender == CONTENDERS[0].name else POINT
            axis.plot([measure.low, measure.high], [place, place], color=color, lw=2)
            axis.plot(measure.value, place, "o", color=color, ms=7)
            axis.plot(one.single, [place] * len(one.single), "|", color=MUTED, ms=9)
        names = [
            f"{TITLES[one.contender]}, {KINDS.get(one.score, one.score.rpartition('/')[2])}"
            for one in reversed(self.scored)
        ]
        axis.set_yticks(range(len(names)), names)
        heading(
            axis,
            "Does the supernet rank as training alone does?",
            "Kendall tau-b, mean of the supernets and its interval; strokes: each supernet",
        )
        axis.axvline(0, color=MUTED, lw=0.8)
        axis.grid(axis="x")
        return figure

    @styled
    def _draw_scatter(self) -> Figure:
        shown = [one for one in self.scored if one.contender != ZERO_COST]
        figure, axes = panels(len(shown), 3.0)
        for axis, one in zip(axes, shown, strict=True):
            run = next(iter(self.results["contest"][one.contender].values()))
            values = self.truth.scores(run["scores"][one.score])
            axis.scatter(values, self.truth.mean, s=12, color=POINT, linewidths=0, alpha=0.75)
            kind = KINDS.get(one.score, one.score)
            heading(axis, TITLES[one.contender], f"{kind}; first supernet: {one.single[0]:.3f}")
            axis.set(xlabel="score", ylabel="accuracy alone, %")
            axis.grid()
        return figure

    @styled
    def _draw_shifts(self) -> Figure:
        found = {name: one for name, one in shifts(self.results).items() if name in DRAWN}
        figure, axes = panels(len(SHIFTS), 3.4)
        for axis, (measure, title) in zip(axes, SHIFTS.items(), strict=True):
            for number, name in enumerate(found):
                runs = [run["shifts"]["places"] for run in self.results["contest"][name].values()]
                places = [place for place in runs[0] if measure in runs[0][place]]
                means = [np.mean([run[place][measure]["mean"] for run in runs]) for place in places]
                first = name == CONTENDERS[0].name
                style = dict(lw=2.4, color=BEST) if first else dict(lw=1.2)
                axis.plot(
                    places, means, marker="o", ms=3, label=TITLES[name], zorder=-number, **style
                )
            heading(axis, title, "by depth; mean over the supernets")
            axis.tick_params(axis="x", rotation=90)
            axis.grid(axis="y")
        # Where there is no panel.
        figure.legend(*axes[0].get_legend_handles_labels(), loc="lower right", fontsize=10, ncols=2)
        return figure


def _number(value: float, digits: int = 3) -> str:
    """For a table; nothing of what is not defined."""
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="what run.py wrote")
    parser.add_argument("pages", type=Path, nargs="*", help="Markdown files to write tables into")
    args = parser.parse_args()
    page = Page(json.loads(args.results.read_text()))
    tables = page.tables()
    if not args.pages:
        for name, table in tables.items():
            print(f"\n{name}\n{table}")
        return
    first = args.pages[0]
    for name, figure in page.figures().items():
        write_output(str(first.with_name(f"{first.stem}_{name}.png")), to_png(figure))
    for file in args.pages:
        write_atomically(file, rewritten(file.read_text(), tables).encode())


if __name__ == "__main__":
    main()
