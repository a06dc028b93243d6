#!/usr/bin/env python
"""Makes tables and figure of the pages on speed from the benchmarks' committed results.

    python benchmarks/speed.py docs/speed.md README.md

In docs/ lie train_step.json (and of another machine train_step_epyc.json, of the demo's supernet
train_step_demo.json), growth.json, evaluate.json (and evaluate_epyc.json), backbone.json,
growth_search.json and gradient_exchange.json, as the benchmarks of these names write them;
demo-full.json, and bfloat16_probe.json with the command that gave it. The figure lies beside the
first page, as speed_growth.png.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

sys.path[:0] = [str(folder) for folder in Path(__file__).resolve().parents[:2]]

import numpy as np
from matplotlib.figure import Figure
from page import markdown, rewritten, source

from pinas_mm.commands.command import command
from pinas_mm.files import write_atomically, write_output
from pinas_mm.search.report.figures import to_png
from pinas_mm.search.report.figures.network import COLORS
from pinas_mm.search.report.figures.style import MUTED, heading, panels, styled

Results = Mapping[str, Any]
GROWN = dict(bred="architectures, bred by evolution", random="architectures, random")
RESULTS = Path(__file__).resolve().parents[1] / "docs"


def tables(folder: Path) -> dict[str, str]:
    """Every table, by its benchmark and a name."""

    def read(name: str) -> Results:
        return json.loads((folder / f"{name}.json").read_text())

    made = dict(
        step=step(read("train_step")),
        shares=shares(read("train_step")),
        step_epyc=step(read("train_step_epyc")),
        shares_epyc=shares(read("train_step_epyc")),
        step_demo=step(read("train_step_demo")),
        bfloat16_probe=bfloat16_probe(read("demo-full"), read("bfloat16_probe")),
        growth=growth(read("growth")),
        evaluate=evaluate(read("evaluate")),
        evaluate_epyc=evaluate(read("evaluate_epyc")),
        backbone=backbone(read("backbone")),
        trials=trials(read("growth_search")),
        workers=workers(read("growth_search")),
        exchange=exchange(read("gradient_exchange")),
        ratios=ratios(
            [read("train_step"), read("train_step_epyc")],
            [read("evaluate"), read("evaluate_epyc")],
            *(read(name) for name in ("backbone", "growth")),
            *(read(name) for name in ("growth_search", "gradient_exchange")),
        ),
    )
    sources = dict(
        step="train_step",
        step_epyc="train_step_epyc",
        step_demo="train_step_demo",
        bfloat16_probe="bfloat16_probe",
        growth="growth",
        evaluate="evaluate",
        evaluate_epyc="evaluate_epyc",
        backbone="backbone",
        trials="growth_search",
        exchange="gradient_exchange",
    )
    for table, name in sources.items():
        made[table] += f"\n\n{source(read(name))} ([numbers]({name}.json))"
    return made


def step(results: Results) -> str:
    """Seconds and ratios of a training step."""
    rows = []
    for row in results["rows"]:
        ratios = [row[ratio] for ratio in ("plain_to_ours", "ours_to_floor")]
        rows.append(
            [
                _step_name(row),
                str(row["rounds"]),
                *(f"{row[side]['seconds']['min']:.3f}" for side in ("plain", "ours", "floor")),
                *(f"{ratio['min']:.2f} ({ratio['median']:.2f})" for ratio in ratios),
                *(f"{row[side]['peak_bytes'] / 2**30:.1f}" for side in ("plain", "ours")),
            ]
        )
    header = ["step", "rounds", "plain, s", "ours, s", "floor, s", "plain / ours", "ours / floor"]
    return markdown([*header, "plain, GiB", "ours, GiB"], rows)


def shares(results: Results) -> str:
    """Where a step's time goes."""
    parts = list(dict.fromkeys(part for row in results["rows"] for part in row["shares"]))
    rows = [
        [_step_name(row), *(f"{row['shares'].get(part, 0):.0%}" for part in parts)]
        for row in results["rows"]
    ]
    return markdown(["step", *parts], rows)


def _step_name(row: Results) -> str:
    return f"{row['model']}, {row['pixels']} px, batch {row['batch']}, {row['precision']}"


def bfloat16_probe(demo: Results, probed: Results) -> str:
    """The probe of a supernet after a training in each precision, seed by seed."""
    sides = {
        "float32": {seed: row["trained"] for seed, row in demo["seeds"].items()},
        "bfloat16": probed["seeds"],
    }
    rows = []
    for name, seeds in sides.items():
        values = [row["probe"] for row in seeds.values()]
        cells = [*values, statistics.mean(values)]
        rows.append([name, *(f"{value:.1f}" for value in cells)])
    return markdown(["training in", *(f"seed {seed}" for seed in probed["seeds"]), "mean"], rows)


def growth(results: Results) -> str:
    """Milliseconds and memory of a step, or an evaluation, against one quantity at a time."""
    rows = []
    for quantity, row in results["rows"].items():
        times = (f"{1e3 * t['min']:.1f} ({1e3 * t['median']:.1f})" for t in row["seconds"])
        held = (f"{held / 2**20:.0f}" for held in row["peak_bytes"])
        lists = (
            ", ".join(f"{size}: {value}" for size, value in zip(row["sizes"], values, strict=True))
            for values in (times, held)
        )
        rows.append([GROWN.get(quantity, quantity), *lists, f"{row['exponent']:.3f}"])
    header = ["quantity", "ms, minima (medians)", "MiB of the process at most"]
    return markdown([*header, "exponent of the time"], rows)


@styled
def growth_figure(results: Results) -> Figure:
    """How seconds and memory grow with each quantity, from those of its smallest size on."""
    figure, (time, memory) = panels(2, 4.2)
    for (name, row), color in zip(results["rows"].items(), COLORS, strict=False):
        sizes = np.divide(row["sizes"], row["sizes"][0])
        label = f"{GROWN.get(name, name)} ({row['exponent']:.2f})"
        seconds = np.array([t["min"] for t in row["seconds"]])
        # A process with nothing to do takes most of it.
        more = (np.array(row["peak_bytes"]) - row["peak_bytes"][0]) / 2**20
        for axis, grown in ((time, seconds / seconds[0]), (memory, more)):
            axis.plot(sizes, grown, "o-", color=color, label=label, markersize=4)
    largest = time.get_xlim()[1]
    time.plot([1, largest], [1, largest], color=MUTED, linestyle=":", label="in proportion")
    time.set(xscale="log", yscale="log", ylabel="times as long")
    memory.set(xscale="log", ylabel="MiB more")
    for axis in (time, memory):
        axis.set(xlabel="times the smallest size")
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter("{x:g}")
    heading(time, "time", "minima, over the smallest size's; in brackets the exponent")
    heading(memory, "memory", "of the process at most, over the smallest size's")
    time.legend(fontsize=8, loc="upper left")
    return figure


def times_better(rows: Iterable[Results], ours: str) -> list[float]:
    """Of the default supernet's plain float32 steps over ours of a precision, size by size."""
    found = {
        (row["pixels"], row["batch"], row["precision"]): row
        for row in rows
        if row["model"] == "default"
    }
    return [
        row["plain"]["seconds"]["min"] / found[pixels, batch, ours]["ours"]["seconds"]["min"]
        for (pixels, batch, precision), row in found.items()
        if precision == "float32" and (pixels, batch, ours) in found
    ]


def evaluate(results: Results) -> str:
    """Architectures together against each by itself."""
    rows = []
    for row in results["rows"]:
        alone, together = (row["seconds"][side] for side in ("alone", "together"))
        rows.append(
            [
                f"{row['row']}, {row['pixels']} px",
                str(row["archs"]),
                str(row["rounds"]),
                f"{60 / alone['min']:.1f}",
                f"{60 * row['archs'] / together['min']:.1f}",
                f"{row['ratio']['min']:.1f} ({row['ratio']['median']:.1f})",
                f"{row['blocks']:.0f} %",
                f"{row['kept_bytes'] / 2**20:.0f}",
            ]
        )
    header = ["supernet", "architectures", "rounds", "a minute alone", "a minute together"]
    return markdown([*header, "faster", "blocks run", "kept at most, MiB"], rows)


def backbone(results: Results) -> str:
    """Milliseconds of a forward pass and ratios to the faster peer."""
    cells = results["cells"]
    names = list(dict.fromkeys(n for cell in cells for row in cell["ms"].values() for n in row))
    rows = [
        [
            f"{cell['dtype']} {cell['batch']} x {cell['height']} x {cell['width']}",
            form,
            *(f"{row[name]['min']:.1f} ({row[name]['median']:.1f})" for name in names),
            f"{cell['ratios'][form]:.2f}",
        ]
        for cell in cells
        for form, row in cell["ms"].items()
    ]
    return markdown(["images", "form", *names, "faster"], rows)


def trials(results: Results) -> str:
    """Milliseconds of sampler and record a trial."""
    rows = results["figures"]["trials"]
    after = list(rows[0]["after"])
    made = []
    for row in rows:
        times = [row["after"][number] for number in after]
        cells = [
            f"{1e3 * t['processor']['median']:.1f} ({1e3 * t['wall']['median']:.0f})" for t in times
        ]
        made.append([row["sampler"], str(row["objectives"]), *cells, f"{row['exponent']:.2f}"])
    heads = [f"after {int(number):,} trials" for number in after]
    return markdown(["sampler", "objectives", *heads, "exponent"], made)


def workers(results: Results) -> str:
    """Trials a second of processes that share a record."""
    rows = results["figures"]["workers"]
    cells = [
        [str(r["workers"]), f"{r['rate']:.2f}", f"{r['times']:.1f}", f"{r['least']:.1f}"]
        for r in rows
    ]
    return markdown(["workers", "trials a second", "times one worker's", "least"], cells)


def exchange(results: Results) -> str:
    """Bytes that a process sends for a step's gradients."""
    rows = [
        [name, f"{statistics.mean(sent) / 2**20:.0f}"] for name, sent in results["bytes"].items()
    ]
    return markdown(["wrapper", "MiB a step"], rows)


def ratios(
    steps: list[Results],
    evaluations: list[Results],
    inference: Results,
    growing: Results,
    search: Results,
    sent: Results,
) -> str:
    """All of it in a few lines: from the worst to the best of what was measured."""

    def span(values: Iterable[float]) -> str:
        low, high = (f"{end(values):.2f}" for end in (min, max))
        return low if low == high else f"{low} to {high}"

    made = []
    for results in steps:
        for precision in ("float32", "bfloat16"):
            found = [
                row["plain_to_ours"]["min"]
                for row in results["rows"]
                if (row["model"], row["precision"]) == ("default", precision)
            ]
            if found:
                what = f"a step of the default supernet, {precision}", "the same, written plainly"
                made.append([*what, span(found), "train_step", results])
        if found := times_better(results["rows"], "bfloat16"):
            what = "a step of the default supernet, bfloat16", "the plain one in float32"
            made.append([*what, span(found), "train_step", results])
    for results in evaluations:
        for row in results["rows"]:
            what = f"scores of {row['archs']} architectures, {row['row']}, {row['pixels']} px"
            against = "each loaded and scored by itself"
            made.append([what, against, span([row["ratio"]["min"]]), "evaluate", results])
    for dtype in ("float32", "bfloat16"):
        found = [
            ratio
            for cell in inference["cells"]
            if cell["dtype"] == dtype
            for form, ratio in cell["ratios"].items()
            if form in cell["ms"]  # Not of ours in one form and theirs in another.
        ]
        what = f"ResNeSt-50 at 224 pixels, {dtype}", "the faster of mmpretrain's and timm's"
        made.append([*what, span(found), "backbone", inference])
    times = growing["rows"]["candidates"]["seconds"]
    what = "a step with 16 candidates a block", "with one"
    made.append([*what, span([times[0]["min"] / times[-1]["min"]]), "growth", growing])
    many = search["figures"]["workers"][-1]
    what = f"{many['workers']} workers of a search", "one"
    made.append([*what, span([many["times"]]), "growth_search", search])
    ours, theirs = (
        statistics.mean(sent["bytes"][name])
        for name in ("PathDataParallel", "DistributedDataParallel")
    )
    what = "gradients between processes", "DistributedDataParallel's bytes"
    made.append([*what, span([theirs / ours]), "gradient_exchange", sent])
    rows = [
        [what, against, times, f"`benchmarks/{name}.py`", results["machine"]["cpu"].split(" P")[0]]
        for what, against, times, name, results in made
    ]
    return markdown(["what", "against", "times better", "measured by", "2 cores of"], rows)


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", type=Path, nargs="+", help="Markdown files to write tables into")
    made, pages = tables(RESULTS), parser.parse_args().pages
    figure = growth_figure(json.loads((RESULTS / "growth.json").read_text()))
    write_output(str(pages[0].with_name("speed_growth.png")), to_png(figure))
    for page in pages:
        write_atomically(page, rewritten(page.read_text(), made).encode())


if __name__ == "__main__":
    main()
