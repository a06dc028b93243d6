"""Amounts of memory as people write them."""

from __future__ import annotations

import re

from pinas_mm.errors import UserError
from pinas_mm.whole_numbers import is_whole

# For activations and images, in bytes, where nothing else is said.
MEMORY = 2 * 1024**3
UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_bytes(value: int | str) -> int:
    """Bytes from a number or a text such as ``512M``, ``1.5G``, ``2GiB``; a K is 1024 bytes.

    Raises:
        UserError: the text is no amount, or it is negative.
    """
    if is_whole(value, 0):
        return int(value)
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", value.upper())
        if match:
            return int(float(match[1]) * 1024 ** UNITS[match[2]])
    raise UserError(
        f"memory is {value!r}: give bytes as a number of at least 0, or a text such as '512M' or "
        "'2G'"
    )
