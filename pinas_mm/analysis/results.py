"""Tables of architectures and their numbers, as people write them."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from pinas_mm.errors import UserError
from pinas_mm.space import SYMBOLS, SearchSpace
from pinas_mm.space.arch import SEPARATORS
from pinas_mm.whole_numbers import is_whole

ARCH, SEED, COSTS = ("arch", "architecture"), "seed", ("params", "macs")
# Of the one number that a table of architectures and numbers has.
UNNAMED = "value"


@dataclasses.dataclass(frozen=True)
class Results:
    """One number for each architecture, in one seed or several.

    Attributes:
        source: where it comes from, for messages.
        metric: name of the number.
        texts: how each architecture is written there, by its key; see :func:`arch_key`.
        values: by key and seed; the seed is empty where the table has none.
        costs: ``params`` and ``macs`` by key, where the table has them for all.
        left_out: how architectures are written that have no finite number.
    """

    source: str
    metric: str
    texts: dict[str, str]
    values: dict[str, dict[str, float]]
    costs: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @classmethod
    def of_numbers(
        cls,
        source: str,
        metric: str,
        found: Mapping[str, Sequence[float]],
        costs: dict[str, dict[str, float]],
    ) -> Results:
        """What was computed: the mean of an architecture's finite numbers, as samplers have it.

        Args:
            found: by text form; an architecture without a finite number is left out.
        """
        values = {}
        for text, several in found.items():
            finite = [number for number in several if math.isfinite(number)]
            if finite:
                values[text] = {"": float(np.mean(finite))}
        left_out = tuple(text for text in found if text not in values)
        return cls(source, metric, {text: text for text in values}, values, costs, left_out)

    def matrix(self, keys: Iterable[str]) -> NDArray[Any]:
        """Shape (keys, seeds), NaN where an architecture lacks a seed."""
        seeds = sorted({seed for values in self.values.values() for seed in values})
        rows = [[self.values[key].get(seed, math.nan) for seed in seeds] for key in keys]
        return np.array(rows).reshape(-1, len(seeds))


def arch_key(value: Any, space: SearchSpace | None = None) -> str:
    """A key that is the same for all ways to write an architecture.

    Args:
        value: text, or a list of candidate indices.
        space: the search space, which says whether there is such an architecture; None takes any
            text, and knows ``301-32`` and ``30132`` for the same.

    Raises:
        UserError: it is neither, is empty, is not of the space, or has an index outside 0 to 35.
    """
    if isinstance(value, list):
        # All that YAML gives is text.
        value = [int(i) if isinstance(i, str) and i.isdecimal() else i for i in value]
    if space is not None:
        return str(space.arch(value))
    if isinstance(value, list):
        for position, choice in enumerate(value):
            if not is_whole(choice, 0, len(SYMBOLS) - 1):
                raise UserError(
                    f"architecture {value} has {choice!r} at block {position}: allowed are whole "
                    f"numbers from 0 to {len(SYMBOLS) - 1}"
                )
        value = "".join(SYMBOLS[choice] for choice in value)
    elif not isinstance(value, str):
        raise UserError(f"architecture {value!r} is no text: write it in quotation marks")
    key = "".join(char for char in value if char not in SEPARATORS)
    if not key:
        raise UserError(f"architecture {value!r} names no candidate: give one for every block")
    return key


def read_results(
    path: str | Path, metric: str | None = None, space: SearchSpace | None = None
) -> Results:
    """Reads a table of CSV, JSON or YAML.

    CSV has a header; columns ``arch`` (or ``architecture``), a metric or several, ``seed`` where
    there are several rows an architecture, ``params`` and ``macs`` if known. JSON and YAML are a
    list of such rows, a dict with one such list, or a dict by architecture, of numbers, of lists
    of numbers, one a seed, or of rows.

    Args:
        path: the file; its ending says which.
        metric: which column; None is the only one.
        space: see :func:`arch_key`.

    Raises:
        UserError: it is none of these, is empty, has no such column, an architecture twice (in one
            seed), one that is not of the space, or a number that is missing or not finite.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path} is no table: give a file of {', '.join(_READERS)}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UserError(f"cannot read {path}: {reason}") from error
    try:
        rows = list(reader(text)) if text.strip() else []
    except (ValueError, RecursionError, csv.Error, yaml.YAMLError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from error
    if not rows:
        raise UserError(f"{path} is empty: a table has a row for each architecture")
    return _collect(str(path), rows, metric, space)


def in_common(truth: Results, scores: Results, some: bool = False) -> list[str]:
    """Keys of the architectures that both have, in the order of the first.

    Args:
        truth, scores: tables of one space.
        some: whether each may have architectures that the other has not.

    Raises:
        UserError: they have none in common, or not the same ones.
    """
    both = [key for key in truth.values if key in scores.values]
    if not both:
        texts = [next(iter(results.texts.values()), "none") for results in (truth, scores)]
        raise UserError(
            f"{truth.source} and {scores.source} have no architecture in common, as {texts[0]} "
            f"and {texts[1]}: are they of the same space?"
        )
    for results, other in ((scores, truth), (truth, scores)):
        alone = [text for key, text in results.texts.items() if key not in other.values]
        if alone and not some:
            raise UserError(
                f"{results.source} has {len(alone)} architectures that {other.source} does not "
                f"know, as {alone[0]}: --common compares the {len(both)} that both have"
            )
    return both


# A row's place for messages, and its columns.
Row = tuple[str, Mapping[str, Any]]


def _collect(
    source: str, rows: list[Row], metric: str | None, space: SearchSpace | None
) -> Results:
    columns = list(dict.fromkeys(name for _, row in rows for name in row))
    named = next((name for name in ARCH if name in columns), None)
    if named is None:
        raise UserError(
            f"{source} has no column {ARCH[0]}: it has {', '.join(map(str, columns)) or 'none'}"
        )
    metric = _metric(source, columns, metric)
    made = Results(source, metric, {}, {})
    costs = [name for name in COSTS if all(name in row for _, row in rows)]
    places: dict[tuple[str, str], str] = {}
    for place, row in rows:
        if row.get(named) in (None, ""):
            raise UserError(f"{source}, {place}: there is no architecture")
        written = row[named]
        try:
            key = arch_key(written, space)
        except UserError as error:
            of = f" (the space is {space})" if space else ""
            raise UserError(f"{source}, {place}: {error}{of}") from None
        seed = str(row.get(SEED, ""))
        if (key, seed) in places:
            same = "" if made.texts[key] == str(written) else f", there {made.texts[key]},"
            of = f" with seed {seed}" if seed else ""
            hint = "" if seed else f"; of several seeds a column {SEED} says which is which"
            raise UserError(
                f"{source}, {place}: architecture {written}{same} is in {places[key, seed]} too"
                f"{of}: leave one out{hint}"
            )
        places[key, seed] = place
        made.texts.setdefault(key, str(written))
        made.values.setdefault(key, {})[seed] = _number(source, place, metric, row)
        found = {name: _number(source, place, name, row) for name in costs}
        if made.costs.setdefault(key, found) != found:
            raise UserError(f"{source}, {place}: architecture {written} has other costs before")
    return made if costs else dataclasses.replace(made, costs={})


def _metric(source: str, columns: list[str], wanted: str | None) -> str:
    known = [name for name in columns if name not in (*ARCH, SEED)]
    if wanted is None:
        metrics = [name for name in known if name not in COSTS]
        if len(metrics) == 1:
            return metrics[0]
        has = f"has the columns {', '.join(metrics)}: say which" if metrics else "has no metric"
        raise UserError(f"{source} {has}")
    if wanted not in known:
        raise UserError(f"{source} has no column {wanted}: it has {', '.join(known) or 'none'}")
    return wanted


def _number(source: str, place: str, name: str, row: Mapping[str, Any]) -> float:
    value: Any = row.get(name)
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        shown = "missing" if value in (None, "") else repr(value)
        raise UserError(f"{source}, {place}: {name} is {shown}, no finite number")
    return number


def _csv(text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text), strict=True)
    header = [name.strip() for name in next(reader)]
    if len(set(header)) < len(header):
        raise ValueError(f"two columns of its header have the same name: {', '.join(header)}")
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(header):
            raise ValueError(
                f"line {reader.line_num} has {len(cells)} columns, the header {len(header)}"
            )
        cells = [cell.strip() for cell in cells]
        yield f"line {reader.line_num}", dict(zip(header, cells, strict=True))


def _json(text: str) -> Iterator[Row]:
    return _rows(json.loads(text, object_pairs_hook=_once))


def _yaml(text: str) -> Iterator[Row]:
    return _rows(yaml.load(text, _Yaml))


_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class _Yaml(_Loader):  # type: ignore[misc]  # Of two, which PyYAML's build tells.
    """All scalars are texts: an architecture 0123 is no number. A key may stand only once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        """A dict."""
        pairs = [
            (self.construct_object(k, True), self.construct_object(v, True)) for k, v in node.value
        ]
        for (key, _), (written, _) in zip(pairs, node.value, strict=True):
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key} is a key, which must be a text, as 012", written.start_mark
                )
        return _once(pairs)


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"{key} stands there twice: leave one out")
        made[key] = value
    return made


def _rows(content: Any) -> Iterator[Row]:
    """Rows of what a JSON or YAML file holds."""
    if isinstance(content, dict):
        lists = [part for part in content.values() if _is_rows(part)]
        if len(lists) == 1:
            content = lists[0]
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        for number, row in enumerate(content, 1):
            yield f"row {number}", row
    elif isinstance(content, dict):
        for arch, value in content.items():
            place, rows = f"entry {arch}", [{UNNAMED: value}]
            if isinstance(value, dict):
                rows = [value]
            elif isinstance(value, list):
                rows = [{UNNAMED: one, SEED: str(seed)} for seed, one in enumerate(value)]
            for row in rows:
                yield place, {ARCH[0]: arch, **row}
    else:
        raise ValueError("it is neither a list of rows nor a dict by architecture")


def _is_rows(part: Any) -> bool:
    return (
        isinstance(part, list)
        and bool(part)
        and all(isinstance(row, dict) and set(row) & set(ARCH) for row in part)
    )


_READERS: dict[str, Callable[[str], Iterator[Row]]] = {
    ".csv": _csv,
    ".json": _json,
    ".yml": _yaml,
    ".yaml": _yaml,
}
