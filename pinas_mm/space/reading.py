"""What a space is told, in all forms that users may write, as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pinas_mm.errors import UserError
from pinas_mm.operations import BlockSpec, Operation, ResNeStBottleneck
from pinas_mm.skeletons import Skeleton
from pinas_mm.space.arch import SYMBOLS
from pinas_mm.whole_numbers import is_whole

if TYPE_CHECKING:
    from pinas_mm.space.space import SearchSpace


def read_candidates(values: Iterable[Any]) -> tuple[Operation, ...]:
    """Operations, from what a space's ``candidates`` may be.

    Raises:
        UserError: there are too many or none, or one is no operation.
    """
    values = list(values) if isinstance(values, Iterable) else [values]
    if not 1 <= len(values) <= len(SYMBOLS):
        raise UserError(f"a space needs 1 to {len(SYMBOLS)} candidates, not {len(values)}")
    return tuple(_candidate(index, value) for index, value in enumerate(values))


def _candidate(index: int, value: Any) -> Operation:
    if isinstance(value, Operation):
        return value
    if isinstance(value, str) or (isinstance(value, Mapping) and "type" in value):
        # Not above: mmengine's registry loads torch.
        from pinas_mm.registry import OPERATIONS, built

        return built(OPERATIONS, value, f"candidate {index}", Operation)
    try:
        made = (
            ResNeStBottleneck(**value) if isinstance(value, Mapping) else ResNeStBottleneck(*value)
        )
    except TypeError:
        raise UserError(
            f"candidate {index} is {value!r}: give radix, groups and base_width, or an operation's "
            "type"
        ) from None
    except UserError as error:
        raise UserError(f"candidate {index}: {error}") from None
    return made


def read_skeleton(value: Any, given: Mapping[str, Any]) -> Skeleton:
    """The skeleton, from its config or type, with what the space says of it.

    Raises:
        UserError: it is unknown, or has not what is said of it.
    """
    given = {name: number for name, number in given.items() if number is not None}
    if not isinstance(value, Skeleton):
        from pinas_mm.registry import SKELETONS, built

        value = built(SKELETONS, value, "skeleton", Skeleton)
    known = {field.name for field in dataclasses.fields(value)}
    unknown = sorted(set(given) - known)
    if unknown:
        raise UserError(
            f"{type(value).__name__} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        )
    return dataclasses.replace(value, **given) if given else value


def read_allowed(value: Any, space: SearchSpace) -> tuple[tuple[int, ...], ...] | None:
    """Candidates of each block, from what a space's ``allowed`` may be.

    Raises:
        UserError: a stage or block is unknown, a row is missing or names no candidate.
    """
    if value is None:
        return None
    specs, everyone = list(space.blocks()), range(space.num_candidates)
    rows: list[Any] = [list(everyone) for _ in specs]
    if isinstance(value, Mapping):
        named = {spec.name: [n] for n, spec in enumerate(specs)}
        for n, spec in enumerate(specs):
            named.setdefault(spec.name.partition(".")[0], []).append(n)
        # Stages first: a block's own word goes before its stage's.
        for name in sorted(value, key=lambda name: "." in str(name)):
            if name not in named:
                stages = [name for name in named if "." not in name]
                raise UserError(
                    f"allowed names {name!r}: write a stage ({', '.join(stages)}) or a block, as "
                    f"{specs[0].name}"
                )
            for n in named[name]:
                rows[n] = value[name]
    else:
        if not isinstance(value, Iterable):
            raise UserError(f"allowed is {value!r}: give candidates by stage or block, or a list")
        rows = list(value)
        if len(rows) != len(specs):
            raise UserError(f"allowed has {len(rows)} rows, the space {len(specs)} blocks")
    return tuple(_row(row, spec, everyone) for row, spec in zip(rows, specs, strict=True))


def _row(row: Any, spec: BlockSpec, everyone: Sequence[int]) -> tuple[int, ...]:
    values = list(row) if isinstance(row, Iterable) and not isinstance(row, str) else [row]
    if len(values) == len(everyone) and all(isinstance(v, (bool, np.bool_)) for v in values):
        values = [choice for choice, wanted in zip(everyone, values, strict=True) if wanted]
    for choice in values:
        if not is_whole(choice, 0, len(everyone) - 1):
            raise UserError(
                f"allowed has {choice!r} at {spec.name}: candidates are 0 to {len(everyone) - 1}"
            )
    return tuple(sorted({int(choice) for choice in values}))


def read_counts(name: str, values: Iterable[Any]) -> tuple[int, ...]:
    """Whole numbers of at least 1.

    Raises:
        UserError: one is not, or there are none; has the name.
    """
    given = list(values) if isinstance(values, Iterable) else values
    if not given or not isinstance(given, list) or not all(is_whole(n, 1) for n in given):
        raise UserError(f"{name} must be whole numbers of at least 1, not {given}")
    return tuple(map(int, given))
