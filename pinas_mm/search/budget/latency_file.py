"""Latency tables in a file: what has been measured in the same setting is not measured again."""

from __future__ import annotations

import inspect
import json
import logging
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from pinas_mm.errors import UserError
from pinas_mm.files import write_atomically
from pinas_mm.long_work import LongWork
from pinas_mm.search.budget.latency import LatencyTable, measure_latency, setting_of
from pinas_mm.space import SearchSpace


def cached_latency(path: str | Path, space: SearchSpace, **options: Any) -> LatencyTable:
    """:func:`measure_latency`'s table, from a file where it has been measured in the same setting.

    The file is JSON and keeps the tables of other settings. In a distributed run rank 0 measures
    and all ranks have its table.

    Args:
        path: the file; it is made or extended.
        space: the search space.
        options: arguments of :func:`measure_latency`.

    Raises:
        UserError: an option is unknown or out of range.
    """
    signature = inspect.signature(measure_latency)
    known = [name for name in signature.parameters if name != "space"]
    unknown = sorted(set(options) - set(known))
    if unknown or "image_size" not in options:
        fault = f"has no {', '.join(unknown)}" if unknown else "needs image_size"
        raise UserError(f"latency {fault}: allowed are {', '.join(known)}")
    # On all ranks, so that none waits for one that refuses.
    given = signature.bind(space, **options)
    given.apply_defaults()
    others = ("progress", "image")
    wanted = setting_of(**{k: v for k, v in given.arguments.items() if k not in others})
    holder: list[Any] = [None]
    if is_main_process():
        holder = [_read_or_measure(Path(path), wanted, space, options).to_dict()]
    broadcast_object_list(holder)
    return LatencyTable.from_dict(holder[0])


def _read_or_measure(
    path: Path, wanted: dict[str, Any], space: SearchSpace, options: dict[str, Any]
) -> LatencyTable:
    tables = _read(path)
    for table in tables:
        if table.setting == wanted:
            _say(table, f"read from {path}, which may be deleted")
            return table
    print_log(
        f"measuring latency on {wanted['device']}, batch size {wanted['batch_size']}, "
        f"{wanted['threads']} threads",
        "current",
    )
    options.setdefault("progress", LongWork("measuring latency"))
    table = measure_latency(space, **options)
    _say(table, f"kept in {path}: measure again, without it, on an idle machine")
    content = [other.to_dict() for other in [*tables, table]]
    write_atomically(path, json.dumps(content, indent=1).encode() + b"\n")
    return table


def _say(table: LatencyTable, where: str) -> None:
    if table.error is not None:
        print_log(
            f"latency: sums of parts are {table.error:.1%} off whole architectures that were "
            "timed, in the median",
            "current",
        )
    doubt = table.doubt()
    if doubt:
        print_log(
            f"latency may be wrong, {doubt} while it was measured ({where})",
            "current",
            logging.WARNING,
        )


def _read(path: Path) -> list[LatencyTable]:
    if not path.is_file():
        return []
    try:
        return [LatencyTable.from_dict(content) for content in json.loads(path.read_bytes())]
    except (ValueError, KeyError, TypeError) as error:
        print_log(f"{path} is damaged ({error}): latency is measured anew", "current")
        return []
