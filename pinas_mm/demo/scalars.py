"""Reading the scalars that mmengine's visualizer logs."""

from __future__ import annotations

import json
from pathlib import Path


def read_scalars(work_dir: Path) -> list[dict[str, float]]:
    """All rows logged in a work dir, of the run and of those it resumed, in order of steps.

    Of a step logged twice the later run's row holds. A last line cut off by a kill is left out.
    """
    rows: dict[tuple[bool, float], dict[str, float]] = {}
    for file in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for line in file.read_text().splitlines():
            if line.endswith("}"):
                row = json.loads(line)
                rows["loss" in row, row["step"]] = row
    return [rows[key] for key in sorted(rows, key=lambda key: key[1])]


def training_rows(work_dir: Path) -> list[dict[str, float]]:
    """Rows of training iterations."""
    return [row for row in read_scalars(work_dir) if "loss" in row]


def validation_rows(work_dir: Path) -> list[dict[str, float]]:
    """Rows of validations."""
    return [row for row in read_scalars(work_dir) if "loss" not in row]
