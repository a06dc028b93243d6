"""What the benchmarks' results share: the command and machine of each, and exponents of growth."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pinas_mm.machine import machine


def facts(script: str) -> dict[str, Any]:
    """By which command a result is made, as a user would type it after ``python``, and where.

    Args:
        script: its file.
    """
    name = Path(script).resolve().relative_to(Path(__file__).resolve().parents[1])
    return dict(command=" ".join([str(name), *sys.argv[1:]]), machine=machine())


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float | None:
    """Of the power of the size that the seconds grow with; None of one size."""
    if len(sizes) < 2:
        return None
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
