"""``tools/measure_shift.py`` behind its command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from mmengine.config import Config
from rich.table import Table

from pinas_mm.analysis.shift import Shifts, check_amounts, measure_shifts
from pinas_mm.data.annotations import check_data_sets
from pinas_mm.engine.hooks.shift import supernet_algorithm, training_batches
from pinas_mm.engine.run_search import loaded_runner
from pinas_mm.engine.runner_parts import unwrapped


def measure_checkpoint(
    cfg: Config, checkpoint: str | Path, images: int = 64, pairs: int = 8, seed: int = 0
) -> Shifts:
    """Measures the shifts of a trained supernet on images of its training set.

    Args:
        cfg: config of the training; changed to suit the machine.
        checkpoint: file, or work dir for its last one.
        images: how many, drawn by the seed; what does not fill a last batch is left out.
        pairs: of paths that are compared at each block.
        seed: of images, views and paths.

    Raises:
        UserError: a number is out of range, data or checkpoint are missing, or the config trains no
            supernet.
    """
    check_amounts(pairs, seed, images)
    check_data_sets(cast(Any, cfg), ["train"])
    model = supernet_algorithm(unwrapped(loaded_runner(cfg, str(checkpoint)).model))
    return measure_shifts(model, training_batches(cast(Any, cfg), images, seed), pairs, seed)


def shift_table(shifts: Shifts) -> Table:
    """Means by place for a terminal, the mean over the places last."""
    table = Table(title="shifts, means over pairs of paths")
    table.add_column("block", no_wrap=True, style="bold")
    for name in shifts.values:
        table.add_column(name, justify="right", overflow="fold")
    means = zip(*(shifts.means(name) for name in shifts.values), strict=True)
    for place, values in zip(shifts.places, means, strict=True):
        table.add_row(place, *map(_cell, values))
    table.add_section()
    table.add_row("mean", *map(_cell, shifts.overall().values()))
    return table


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
