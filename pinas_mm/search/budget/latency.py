"""How long each candidate of each block takes on this machine, and so any architecture."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import json
import logging
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from pinas_mm.errors import UserError
from pinas_mm.files import write_atomically
from pinas_mm.long_work import LongWork
from pinas_mm.machine import cpu_name, load, process_threads, usable_cores
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.space import SearchSpace
from pinas_mm.space.cost import AdditiveCost

WARM_UP = 3
# Seconds that one measurement takes at least: clocks and synchronization cost microseconds.
SPAN = 2e-3
# A part's repeats differ by this share, half of them by more, where others use the cores as well.
SPREAD = 0.2
# More repeats, or threads, are typing errors that would take days.
MOST = dict(repeats=10_000, threads=1024)


@dataclasses.dataclass(frozen=True, eq=False)
class LatencyTable:
    """Measured seconds of a space's parts; an architecture takes the sum of its parts' (stem and
    blocks, without classifier).

    Args:
        setting: what was measured where, plain values: device, torch, threads, space, image_size,
            batch_size, in_channels, repeats.
        fixed: seconds of the stem, and of what ends the network, for one batch.
        table: seconds of each candidate of each block with what stands around it, shape (blocks,
            candidates); NaN where it may not stand.
        load: of the machine before it was measured, see :func:`pinas_mm.machine.load`; None where
            it is not known.
        spread: how far half of a part's repeats lie apart, as a share of their median; the median
            of all parts.
    """

    setting: dict[str, Any]
    fixed: float
    table: np.ndarray
    load: float | None = None
    spread: float = 0.0

    def additive(self) -> AdditiveCost:
        """The cost ``latency``, in seconds for one batch."""
        return AdditiveCost("latency", self.fixed, self.table)

    def doubt(self) -> str | None:
        """Why these seconds may be others' as well; None where nothing speaks for it."""
        doubts = []
        if self.load is not None and self.load > 1:
            doubts.append(f"{self.load:.1f} processes wanted each core of the machine")
        if self.spread > SPREAD:
            doubts.append(f"repeats lay {self.spread:.0%} apart")
        if self.setting["threads"] > usable_cores():
            doubts.append(f"{self.setting['threads']} threads had {usable_cores()} cores")
        return " and ".join(doubts) or None

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, from which :meth:`from_dict` makes an equal table."""
        # JSON has no NaN.
        table = [[None if math.isnan(x) else x for x in row] for row in self.table.tolist()]
        known = dict(setting=self.setting, fixed=self.fixed, table=table)
        return known | dict(load=self.load, spread=self.spread)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> LatencyTable:
        """Reads :meth:`to_dict`'s.

        Raises:
            ValueError, KeyError, TypeError: it is none.
        """
        space = SearchSpace.build(content["setting"]["space"])
        fixed, table = float(content["fixed"]), np.array(content["table"], dtype=float)
        if table.shape != space.mask.shape or not ((table > 0) == space.mask).all() or fixed <= 0:
            raise ValueError("not one positive number a candidate of each block")
        known = content.get("load")
        return cls(
            content["setting"],
            fixed,
            table,
            None if known is None else float(known),
            float(content.get("spread", 0)),
        )


def measure_latency(
    space: SearchSpace,
    image_size: int | tuple[int, int],
    batch_size: int = 1,
    in_channels: int = 3,
    device: str | torch.device | None = None,
    repeats: int = 20,
    num_threads: int | None = None,
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    progress: Callable[[float], None] | None = None,
) -> LatencyTable:
    """Times each candidate of each block alone, in float32 and as the stand-alone backbone has it.

    Blocks that do the same on inputs of the same shape are measured once. The random numbers of
    the process are left alone.

    Args:
        space: the search space.
        image_size: height and width of the images in pixels, or one number for both.
        batch_size: images at a time.
        in_channels: channels of the images.
        device: None is the GPU where there is one.
        repeats: measurements of each, after a warm-up; their median counts.
        num_threads: of PyTorch on the CPU; None are those that this process computes with
            (``OMP_NUM_THREADS``), whatever its workers share them out to.
        strides, dilations: of each stage; None takes the space's strides, no dilation.
        progress: called with the share that is done, 0 to 1.

    Raises:
        UserError: a number is below 1.
    """
    setting = _setting(
        space,
        image_size,
        batch_size,
        in_channels,
        device,
        repeats,
        num_threads,
        strides,
        dilations,
    )
    height, width = setting["image_size"]
    device = _device(device)
    told = progress or (lambda fraction: None)
    table = np.full(space.mask.shape, np.nan)
    first, done = space.mask.argmax(axis=1), 0
    measured: dict[tuple, tuple[float, torch.Size, float]] = {}
    before = load()
    with _threads(setting["threads"]), torch.random.fork_rng(devices=[]), torch.inference_mode():
        for choice in range(space.num_candidates):
            arch = np.where(space.mask[:, choice], choice, first)
            backbone = PiNASBackbone(arch, space, in_channels, strides, dilations)
            backbone.eval().to(device)
            if choice == 0:
                shape = torch.Size([batch_size, in_channels, height, width])
                fixed, stem_shape, _ = _seconds(backbone.forward_stem, shape, device, repeats)
            shape = stem_shape
            for number, (spec, here) in enumerate(zip(backbone.specs, arch, strict=True)):
                # Where a block stands matters only by its input; a transition is a stage's own.
                apart = space.skeleton.transitions and spec.first
                place = spec if apart else dataclasses.replace(spec, stage=0, index=0)
                key = int(here), place, shape
                if key not in measured:
                    run = functools.partial(backbone.forward_cell, number=number)
                    measured[key] = _seconds(run, shape, device, repeats)
                seconds, shape, _ = measured[key]
                if here == choice:
                    table[number, choice], done = seconds, done + 1
                told(done / space.mask.sum())
            if choice == 0 and hasattr(backbone, "output"):
                fixed += _seconds(backbone.output, shape, device, repeats)[0]
    spread = statistics.median(spread for *_, spread in measured.values())
    return LatencyTable(setting, fixed, table, before, spread)


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
    wanted = _setting(**{k: v for k, v in given.arguments.items() if k != "progress"})
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
            _warn(table, f"read from {path}, which may be deleted")
            return table
    print_log(
        f"measuring latency on {wanted['device']}, batch size {wanted['batch_size']}, "
        f"{wanted['threads']} threads",
        "current",
    )
    options.setdefault("progress", LongWork("measuring latency"))
    table = measure_latency(space, **options)
    _warn(table, f"kept in {path}: measure again, without it, on an idle machine")
    content = [other.to_dict() for other in [*tables, table]]
    write_atomically(path, json.dumps(content, indent=1).encode() + b"\n")
    return table


def _warn(table: LatencyTable, where: str) -> None:
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


def _setting(
    space: SearchSpace,
    image_size: int | tuple[int, int],
    batch_size: int,
    in_channels: int,
    device: str | torch.device | None,
    repeats: int,
    num_threads: int | None,
    strides: Sequence[int] | None,
    dilations: Sequence[int] | None,
) -> dict[str, Any]:
    """All that a measurement depends on, as JSON gives it back."""
    size = [image_size] * 2 if isinstance(image_size, int) else list(image_size)
    threads = process_threads() if num_threads is None else num_threads
    numbers = dict(
        image_size=size,
        batch_size=batch_size,
        in_channels=in_channels,
        repeats=repeats,
        threads=threads,
    )
    for name, value in numbers.items():
        values = value if name == "image_size" else [value]
        if not all(isinstance(v, int) and v >= 1 for v in values) or len(size) != 2:
            raise UserError(f"latency: {name} is {value}: whole numbers of at least 1 are allowed")
        if name in MOST and value > MOST[name]:
            raise UserError(f"latency: {name} is {value}: at most {MOST[name]} are allowed")
    device = _device(device)
    # As JSON has it: lists, no tuples.
    plain = json.loads(json.dumps(space.to_dict()))
    other = dict(strides=strides, dilations=dilations)
    numbers |= {name: list(value) for name, value in other.items() if value is not None}
    return dict(device=_name(device), torch=torch.__version__, space=plain, **numbers)


def _seconds(
    run: Callable[[torch.Tensor], torch.Tensor],
    shape: torch.Size,
    device: torch.device,
    repeats: int,
) -> tuple[float, torch.Size, float]:
    """Median seconds that ``run`` takes on an input of a shape, its output's shape, and how far
    half of the repeats lie apart, as a share of the median.
    """
    # Drawn on the CPU, whose random numbers are restored.
    x = torch.rand(shape).to(device).contiguous(memory_format=torch.channels_last)
    for _ in range(WARM_UP):
        start = _now(device)
        out = run(x)
        once = _now(device) - start
    runs = math.ceil(SPAN / max(once, SPAN * 1e-3))
    times = []
    for _ in range(repeats):
        start = _now(device)
        for _ in range(runs):
            run(x)
        times.append((_now(device) - start) / runs)
    low, middle, high = np.quantile(times, [0.25, 0.5, 0.75])
    return float(middle), out.shape, float((high - low) / middle)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device(device: str | torch.device | None) -> torch.device:
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_name()
