"""The demo's findings: tables, the figure of the curves, JSON."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.table import Table

from pinas_mm.demo.scalars import training_rows, validation_rows
from pinas_mm.search.report.figures.style import BEST, POINT, heading, panels, styled

ROWS = (
    ("steps", "steps", "{:,.0f}"),
    ("images_per_second", "images a second", "{:.0f}"),
    ("loss_start", "pretext loss, first 50 steps", "{:.2f}"),
    ("loss_end", "pretext loss, last 50 steps", "{:.2f}"),
    ("spread", "spread of embeddings", "{:.3f}"),
    ("retrieval", "cross-path retrieval, % of 512", "{:.1f}"),
    ("probe", "linear probe top-1, %", "{:.1f}"),
    ("probe_std", "  deviation over architectures", "{:.1f}"),
)

TRANSFER_ROWS = (
    ("box_ap", "COCO layout, box AP, %", "{:.1f}"),
    ("mask_ap", "COCO layout, mask AP, %", "{:.1f}"),
    ("mask_ap50", "COCO layout, mask AP50, %", "{:.1f}"),
    ("ade20k_miou", "ADE20K layout, mIoU, %", "{:.1f}"),
    ("cityscapes_miou", "Cityscapes layout, mIoU, %", "{:.1f}"),
)


def training_findings(work_dir: Path, batch_size: int) -> dict[str, float]:
    """What a pre-training run's log says."""
    train, val = training_rows(work_dir), validation_rows(work_dir)
    return dict(
        steps=val[-1]["step"],
        images_per_second=batch_size / statistics.median(row["time"] for row in train),
        loss_start=train[0]["loss"],
        loss_end=train[-1]["loss"],
        spread=val[-1]["retrieval/spread"],
        retrieval=val[-1]["retrieval/top1"],
    )


def probe_findings(work_dir: Path) -> dict[str, float]:
    """What a linear probe's validation says."""
    row = validation_rows(work_dir)[-1]
    return dict(probe=row["accuracy/top1"], probe_std=row["accuracy/top1_std"])


def table(
    findings: dict[str, dict[str, float]],
    title: str,
    rows: Sequence[tuple[str, str, str]] = ROWS,
) -> Table:
    """One column a training, one row a measure: its key, its label, its format."""
    shown = Table(title=title)
    shown.add_column("")
    for name in findings:
        shown.add_column(name, justify="right")
    for key, label, form in rows:
        cells = [form.format(f[key]) if key in f else "" for f in findings.values()]
        shown.add_row(label, *cells)
    return shown


def search_table(found: dict[str, Any], title: str) -> Table:
    """The best architectures of the search without labels."""
    shown = Table("rank", "architecture", "score without labels", "parameters", "multiply-adds")
    shown.title = title
    for row in found["best"]:
        costs = row["costs"]
        shown.add_row(
            str(row["rank"]),
            row["arch"],
            f"{row['metrics']['cross_path/score']:.4f}",
            f"{costs['params']:,.0f}",
            f"{costs['macs']:,.0f}",
        )
    return shown


def search_text(found: dict[str, Any]) -> str:
    """Whether the probe says the same, in words."""
    return (
        f"score without labels and probe: Kendall tau {found['kendall']:.2f}, Spearman rho "
        f"{found['spearman']:.2f} over {found['number']} architectures drawn at random, whose "
        f"probe top-1 deviates by {found['probe_std']:.1f} points"
    )


def mean_findings(runs: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Means over the seeds, column by column and row by row."""
    return {
        name: {
            key: statistics.fmean(run[name][key] for run in runs if name in run)
            for key in next(run[name] for run in runs if name in run)
        }
        for name in dict.fromkeys(name for run in runs for name in run)
    }


def curves(folder: Path) -> dict[str, Path]:
    """Work dirs of a seed's pre-training runs by name."""
    found = {"trained": folder / "supernet"}
    if (folder / "collapse").is_dir():
        found["no negatives, no teacher"] = folder / "collapse"
    return found


@styled
def draw_curves(curves: dict[str, Path], narrow: bool = False) -> Figure:
    """Loss, spread and retrieval over training steps.

    Args:
        curves: work dirs of pre-training runs by name.
        narrow: whether the figure is for a telephone.
    """
    figure, axes = panels(3, 3.2, narrow)
    notes = {
        "pretext loss": "less is better",
        "spread of embeddings": "0: collapsed",
        "cross-path retrieval, %": "more is better",
    }
    for axis, (title, note) in zip(axes, notes.items(), strict=True):
        heading(axis, title, note)
        axis.set(xlabel="step")
        axis.grid()
    for color, (name, work_dir) in zip((BEST, POINT), curves.items(), strict=False):
        train, val = training_rows(work_dir), validation_rows(work_dir)
        steps = [row["step"] for row in train]
        axes[0].plot(steps, [row["loss"] for row in train], color=color, label=name)
        axes[1].plot(steps, [row["spread"] for row in train], color=color, label=name)
        axes[2].plot(
            [row["step"] for row in val],
            [row["retrieval/top1"] for row in val],
            color=color,
            marker=".",
            label=name,
        )
    axes[0].legend()
    return figure


def versions() -> dict[str, str]:
    """Of the packages that a demo's numbers depend on."""
    names = ["pinas_mm", "torch", "numpy", "mmengine", "mmcv", "mmpretrain", "mmdet", "mmseg"]
    names += ["optuna", "sklearn", "matplotlib"]
    return {name: importlib.import_module(name).__version__ for name in names}


def pixel_baseline(data_root: Path) -> float:
    """Top-1 in percent of a linear classifier on the raw pixels of an ImageNet-layout set."""
    from PIL import Image
    from sklearn.linear_model import LogisticRegression

    def load(split: str) -> tuple[NDArray[Any], NDArray[Any]]:
        lines = (data_root / "meta" / f"{split}.txt").read_text().split("\n")
        names, labels = zip(*(line.rsplit(" ", 1) for line in lines if line), strict=True)
        images = [np.asarray(Image.open(data_root / split / name)) for name in names]
        return np.stack(images).reshape(len(images), -1) / 255, np.array(labels, dtype=int)

    classifier = LogisticRegression(C=0.01, max_iter=300).fit(*load("train"))
    return 100 * float(classifier.score(*load("val")))
