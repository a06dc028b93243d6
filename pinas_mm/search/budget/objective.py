"""What a search looks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from pinas_mm.errors import UserError
from pinas_mm.registry import COSTS

LATENCY = "latency"
DIRECTIONS = {"min": "minimize", "max": "maximize"}


@dataclasses.dataclass(frozen=True)
class Objective:
    """A metric or a cost, and which way is better.

    Args:
        name: a metric of the score, or a cost, see :func:`cost_names`.
        direction: ``maximize`` or ``minimize``.
    """

    name: str
    direction: str

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Reads ``name``, ``name:max`` or ``name:min``; costs are minimized, metrics maximized.

        Raises:
            UserError: neither min nor max stands after the colon.
        """
        name, _, way = text.strip().partition(":")
        way = way or ("min" if name in cost_names() else "max")
        if not name or way not in DIRECTIONS:
            raise UserError(
                f"objective {text!r} is no metric: write its name, or name:min where less is better"
            )
        return cls(name, DIRECTIONS[way])

    @property
    def sign(self) -> int:
        """Factor that makes more better."""
        return 1 if self.direction == "maximize" else -1

    def __str__(self) -> str:
        return f"{self.name} ({self.direction})"


def cost_names() -> tuple[str, ...]:
    """The costs that there are: ``params`` and ``macs``, a user's own, and measured latency."""
    COSTS.import_from_location()
    return (*COSTS.module_dict, LATENCY)


def check_given(name: str, known: Mapping[str, float]) -> None:
    """Raises :class:`UserError` unless an objective is among the metrics and costs."""
    if name not in known:
        raise UserError(f"objective {name} is not among what the score gives: {', '.join(known)}")


def parse_objectives(texts: str | Sequence[str]) -> tuple[Objective, ...]:
    """Objectives from one text or several.

    Raises:
        UserError: none, or one twice.
    """
    texts = [texts] if isinstance(texts, str) else list(map(str, texts))
    objectives = tuple(Objective.parse(text) for text in texts)
    names = [objective.name for objective in objectives]
    if not names or len(set(names)) < len(names):
        raise UserError(f"objectives {texts}: give at least one, each once")
    return objectives
