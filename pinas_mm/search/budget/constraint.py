"""Bounds on an architecture's costs, as people write them."""

from __future__ import annotations

import dataclasses
import operator
import re
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from numpy.typing import NDArray

from pinas_mm.errors import UserError
from pinas_mm.search.budget.objective import LATENCY

COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
# Smallest first. Seconds must be named: who writes latency<=40 means milliseconds.
COUNTS = {"": Decimal(1), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9)}
COUNTS["T"] = Decimal(10**12)
TIMES = {"us": Decimal("1e-6"), "ms": Decimal("1e-3"), "s": Decimal(1)}
PATTERN = re.compile(r"(\w+)(<=|>=|<|>)(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)([A-Za-z]*)")
ROUNDINGS = {"nearest": ROUND_HALF_EVEN, "up": ROUND_CEILING, "down": ROUND_FLOOR}


@dataclasses.dataclass(frozen=True)
class Constraint:
    """A bound on one cost; ``str()`` gives text that :meth:`parse` reads back.

    Args:
        name: of the cost: ``params``, ``macs``, ``latency``.
        comparison: ``<=``, ``>=``, ``<`` or ``>``.
        bound: a number; seconds for latency.
    """

    name: str
    comparison: str
    bound: float

    @classmethod
    def parse(cls, text: str | Constraint) -> Constraint:
        """Reads ``macs<=5.3G``, ``params > 20M``, ``latency<=40ms``; spaces may stand anywhere.

        Counts take k, M, G, T (decimal) or nothing; latency takes us, ms or s.

        Raises:
            UserError: the text is not of this form.
        """
        if isinstance(text, cls):
            return text
        example = "write one as in 'macs<=5.3G', 'params>20M', 'latency<=40ms'"
        match = PATTERN.fullmatch("".join(str(text).split()))
        if not match:
            raise UserError(
                f"constraint {text!r} is not a cost, one of {' '.join(COMPARISONS)} and a number: "
                f"{example}"
            )
        name, comparison, number, unit = match.groups()
        units = _units(name)
        if unit not in units:
            what = f"unit {unit!r}" if unit else "no unit"
            allowed = ", ".join(unit for unit in units if unit)
            raise UserError(f"constraint {text!r} has {what}, {name} takes {allowed}: {example}")
        return cls(name, comparison, float(Decimal(number) * units[unit]))

    @property
    def upper(self) -> bool:
        """Whether less is fine and more is not."""
        return self.comparison.startswith("<")

    @property
    def strict(self) -> bool:
        """Whether the bound itself is out."""
        return not self.comparison.endswith("=")

    def met(self, values: NDArray[Any]) -> NDArray[Any]:
        """Which values keep to it, as bools of the same shape."""
        return COMPARISONS[self.comparison](values, self.bound)

    def __str__(self) -> str:
        return f"{self.name}{self.comparison}{readable(self.name, self.bound, digits=None)}"


def readable(name: str, value: float, digits: int | None = 4, rounding: str = "nearest") -> str:
    """A cost with its unit: ``5.332G`` multiply-adds, ``27.05M`` parameters, ``38.2ms``.

    Args:
        name: of the cost, which says the units.
        value: a number; seconds for latency.
        digits: significant ones; None is as many as it takes.
        rounding: ``nearest``; ``up`` so that a minimum stays allowed as an upper bound, ``down``
            for a maximum.
    """
    units = _units(name)
    exact = Decimal(repr(float(value)))
    fitting = [unit for unit, size in units.items() if abs(exact) >= size]
    unit = fitting[-1] if fitting else next(iter(units))
    exact /= units[unit]
    if digits is not None:
        exact = Context(prec=digits, rounding=ROUNDINGS[rounding]).create_decimal(exact)
    return f"{exact.normalize():f}{unit}"


def _units(name: str) -> dict[str, Decimal]:
    return TIMES if name == LATENCY else COUNTS
