"""Whole numbers that users give, of Python or NumPy."""

from __future__ import annotations

import numbers
from typing import Any, TypeGuard


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
