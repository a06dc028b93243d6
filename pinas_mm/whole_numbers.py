"""Whole numbers that users give, of Python or NumPy."""

from __future__ import annotations

import numbers
from typing import Any, TypeGuard

from pinas_mm.errors import UserError

# NumPy's random generator takes none above.
LARGEST_SEED = 2**32 - 1


def is_whole(value: Any, least: int | None = None, most: int | None = None) -> TypeGuard[int]:
    """Whether it is a whole number in these bounds, both included; True and False are none.

    Args:
        value: anything.
        least, most: the bounds; None is none.

    Example:
        >>> is_whole(3, least=1), is_whole(True), is_whole(3.0), is_whole(3, most=2)
        (True, False, False, False)
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        return False
    value = int(value)
    return (least is None or value >= least) and (most is None or value <= most)


def check_seed(seed: Any) -> None:
    """Raises :class:`UserError` unless it is a seed of NumPy's and PyTorch's."""
    if not is_whole(seed, 0, LARGEST_SEED):
        raise UserError(f"seed is {seed!r}: allowed is a whole number from 0 to {LARGEST_SEED}")
