"""What the demo's page shows of each step."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from pinas_mm.demo import alone, report, transfer
from pinas_mm.demo.page import (
    Section,
    figure,
    html_table,
    origin,
    page,
    pictures,
    searched,
    words,
)

# Predictions of each network.
SHOWN = 4


def demo_page(work_dir: Path, found: Mapping[str, Any]) -> str:
    """The HTML of ``index.html``.

    Args:
        work_dir: of the demo, which holds ``seedN/``.
        found: its findings, as in ``results.json``.
    """
    seeds = list(found["seeds"])
    winners = ", ".join(found["alone"][seed]["winner"] for seed in seeds)
    tiles = [
        ("the search's winner" if len(seeds) == 1 else "the searches' winners", winners),
        ("seed" if len(seeds) == 1 else "seeds", ", ".join(seeds)),
        ("minutes", f"{found['minutes']}"),
        ("cores", f"{found['machine']['cores']}"),
    ]
    return page(
        "Pi-NAS on handwritten digits",
        "A supernet trained without labels, searched without labels, and its winner trained alone "
        "and transferred to detection and segmentation.",
        tiles,
        [
            images(found),
            _training(work_dir, found),
            _search(work_dir, found),
            _alone(found),
            _transfer(work_dir, found),
            *origin(found),
        ],
    )


def images(found: Mapping[str, Any]) -> Section:
    """The image sets, where the findings name them."""
    table = Table("layout")
    for name in ("train", "val", "height", "width"):
        table.add_column(name, justify="right")
    for row in found.get("images", ()):
        numbers = (f"{row[key]:,}" for key in ("train", "val", "height", "width"))
        table.add_row(row["layout"], *numbers)
    said = words(
        "Handwritten digits in the layouts of well-known data sets: on photographs, and gray with "
        "a fragment of another, which the supernet learns from and which has ImageNet's layout."
    )
    return Section("images", "Images", [said, html_table(table)] if table.row_count else [])


def _training(work_dir: Path, found: Mapping[str, Any]) -> Section:
    curves = report.curves(work_dir / f"seed{next(iter(found['seeds']))}")
    alt = f"Loss, spread and retrieval over the steps of the training: {', '.join(curves)}."
    drawn = figure(functools.partial(report.draw_curves, curves), "curves", alt)
    tables = [report.table(run, f"seed {seed}") for seed, run in found["seeds"].items()]
    if len(tables) > 1:
        tables.append(report.table(found["mean"], f"mean of {len(tables)} seeds"))
    said = (
        "Two views of an image go through two paths of the supernet, and the embeddings of one "
        "image are drawn together. A spread of 0 says that all images have one embedding."
    )
    pixels = f"A linear classifier on the pixels has top-1 {found['pixels_top1']:.1f} %."
    parts = [words(said), *map(html_table, tables), words(pixels), drawn]
    return Section("training", "Training without labels", parts)


def _search(work_dir: Path, found: Mapping[str, Any]) -> Section:
    parts = [
        words(
            "The winner is what has the best score without labels: how well the embeddings that an "
            "architecture gives are found again among those of other paths."
        )
    ]
    for seed, found_by_it in found["searches"].items():
        parts += [
            html_table(report.search_table(found_by_it, f"seed {seed}")),
            words(report.search_text(found_by_it)),
            *searched(work_dir, f"seed{seed}/search"),
        ]
    return Section("search", "Search without labels", parts)


def _alone(found: Mapping[str, Any]) -> Section:
    text = alone.text(found["alone"])
    drawn = figure(functools.partial(alone.draw, found["alone"]), "alone", text)
    return Section("alone", "What the winner is worth", [words(text), drawn])


def _transfer(work_dir: Path, found: Mapping[str, Any]) -> Section:
    number, first = len(found["seeds"]), next(iter(found["seeds"]))
    title = f"mean of {number} seeds" if number > 1 else f"seed {first}"
    parts = [html_table(report.table(found["transfer_mean"], title, report.TRANSFER_ROWS))]
    for task in transfer.TASKS:
        folder = transfer.folder_of(work_dir / f"seed{first}", task)
        files = sorted(folder.glob("predictions/*.png"))[:SHOWN]
        parts.append(pictures(f"{task.title}: ground truth, prediction", files))
    return Section("transfer", "Transfer of the winner", parts)
