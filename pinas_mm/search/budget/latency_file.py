"""Latency tables in a file: what has been measured in the same setting is not measured again."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log
from torch import nn

from pinas_mm.files import write_atomically
from pinas_mm.long_work import LongWork
from pinas_mm.search.budget.latency import measure_latency
from pinas_mm.search.budget.latency_options import LatencyOptions
from pinas_mm.search.budget.latency_table import LatencyTable
from pinas_mm.space import SearchSpace


def cached_latency(
    path: str | Path,
    space: SearchSpace,
    options: LatencyOptions,
    model: nn.Module | None = None,
    image: torch.Tensor | None = None,
) -> LatencyTable:
    """:func:`measure_latency`'s table, from a file where it has been measured in the same setting.

    The file is JSON and keeps the tables of other settings. In a distributed run rank 0 measures
    and all ranks have its table.

    Args:
        path: the file; it is made or extended.
        space, options, model, image: as :func:`measure_latency` takes them.

    Raises:
        UserError: what :func:`measure_latency` raises.
    """
    # On all ranks, so that none waits for one that refuses.
    wanted = options.setting(space, model)
    holder: list[Any] = [None]
    if is_main_process():
        path = Path(path)
        tables = _read(path)
        known = [table for table in tables if table.setting == wanted]
        if known:
            _say(known[0], f"read from {path}, which may be deleted")
        else:
            print_log(
                f"measuring latency on {wanted['device']}, batch size {wanted['batch_size']}, "
                f"{wanted['threads']} threads",
                "current",
            )
            known = [measure_latency(space, options, model, image, LongWork("measuring latency"))]
            _say(known[0], f"kept in {path}: measure again, without it, on an idle machine")
            content = [table.to_dict() for table in tables + known]
            write_atomically(path, json.dumps(content, indent=1).encode() + b"\n")
        holder = [known[0].to_dict()]
    broadcast_object_list(holder)
    return LatencyTable.from_dict(holder[0])


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
