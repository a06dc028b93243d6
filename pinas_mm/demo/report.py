"""The demo's findings: a table, a picture of the curves, JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from pinas_mm.demo.scalars import training_rows, validation_rows

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ROWS = (
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


def draw_curves(curves: dict[str, Path], file: Path) -> None:
    """Loss, spread and retrieval over training steps.

    Args:
        curves: work dirs of pre-training runs by name.
        file: the PNG to write.
    """
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    titles = "pretext loss", "spread of embeddings (0: collapsed)", "cross-path retrieval, %"
    for axis, title in zip(axes, titles, strict=True):
        axis.set(title=title, xlabel="step")
        axis.grid(alpha=0.3)
    for name, work_dir in curves.items():
        train, val = training_rows(work_dir), validation_rows(work_dir)
        steps = [row["step"] for row in train]
        axes[0].plot(steps, [row["loss"] for row in train], label=name)
        axes[1].plot(steps, [row["spread"] for row in train], label=name)
        per_epoch = steps[-1] / train[-1]["epoch"]
        axes[2].plot(
            [row["step"] * per_epoch for row in val],
            [row["retrieval/top1"] for row in val],
            marker=".",
            label=name,
        )
    axes[0].legend()
    figure.savefig(file, dpi=110)
    plt.close(figure)


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
