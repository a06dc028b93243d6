"""Amounts of memory in the forms that people write."""

import pytest

from pinas_mm.errors import UserError
from pinas_mm.search.evaluation.memory import parse_bytes


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (7, 7), ("0", 0), ("512M", 512 << 20), ("1.5 gib", 3 << 29), ("2kB", 2048)],
)
def test_amounts_of_memory(value, expected):
    assert parse_bytes(value) == expected


@pytest.mark.parametrize("value", [-1, "-1", "2 apples", "", None, True, 1.5, "M"])
def test_amounts_that_are_none(value):
    with pytest.raises(UserError, match="512M"):
        parse_bytes(value)
