#!/usr/bin/env python
"""Times training steps of Pi-NAS against a plain version of them, and against their products alone.

    python benchmarks/train_step.py [--out FILE.json] [--models demo default] [--pixels 64 128 224]
        [--batch 4 16] [--precision float32 bfloat16] [--rounds 10] [--threads 2]

Ours is the algorithm's own train_step() with a config's model and optimizer, on random images; the
plain version is plain_step.py; the floor are the step's convolutions and matrix products alone, as
bare calls on the same shapes, forward and (of the student) backward. All three run the same two
paths. Each has a process of its own, and they take turns. The demo's supernet, and an earlier
demo's (small), have their own images.

Ratios are of minima, which neighbours on the machine disturb least, and of medians. Shares are of
the time of one of our steps by PyTorch's profiler. Memory is the most that the process, or the GPU,
ever held.
"""

import argparse
import functools
import logging
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from plain_step import PlainStep
from results import facts
from rich.console import Console
from rich.table import Table
from shares import named, shares
from torch import nn
from turns import DEVICE, Turns

from pinas_mm.algorithms import PiNAS
from pinas_mm.compat import fast_bfloat16
from pinas_mm.engine.config import read_config
from pinas_mm.files import write_json
from pinas_mm.machine import usable_cores
from pinas_mm.operations.split_attention import SplitAttention
from pinas_mm.registry import MODELS

HERE = Path(__file__).resolve().parent
FILES = {
    "demo": HERE.parent / "configs" / "demo" / "digits_supernet.py",
    "small": HERE / "configs" / "small_supernet.py",
    "default": HERE.parent / "configs" / "pinas_supernet.py",
}
# Pixels and batch of those that have their own.
OWN = dict(demo=(12, 64), small=(32, 64))
SIDES = "plain", "ours", "floor"


class Ours:
    """A step of the algorithm of a config.

    Args:
        config: of the model, the optimizer and the rest.
        pixels, batch: of the images.
        precision: ``float32`` or ``bfloat16``.
    """

    def __init__(self, config: Config, pixels: int, batch: int, precision: str) -> None:
        MMLogger.get_current_instance().setLevel(logging.WARNING)
        init_default_scope("mmpretrain")
        torch.manual_seed(0)
        self.model: PiNAS = MODELS.build(config.model)
        self.model.init_weights()
        self.model.to(DEVICE).train()
        wrapper = dict(type="OptimWrapper", optimizer=config.optim_wrapper.optimizer)
        if precision != "float32":
            wrapper.update(type="pinas_mm.AmpOptimWrapper", dtype=precision)
        self.optimizer = build_optim_wrapper(self.model, wrapper)
        made = self.model.data_preprocessor
        crops = 1 if made.augment.size else made.num_views
        images = torch.randint(0, 256, (crops, batch, 3, pixels, pixels), dtype=torch.uint8)
        # As the config's loader gives them.
        self.images = list(images.unbind())
        self.data = dict(inputs=self.images if crops > 1 else list(self.images[0]))
        hub = MessageHub.get_current_instance()
        hub.update_info("seed", 0)
        # The same paths in every step.
        hub.update_info("iter", 0)

    def __call__(self) -> None:
        """One step."""
        self.model.train_step(self.data, self.optimizer)


class Plain:
    """The same of the plain version."""

    def __init__(self, config: Config, pixels: int, batch: int, precision: str) -> None:
        ours = Ours(config, pixels, batch, precision)
        optimizer = dict(config.optim_wrapper.optimizer)
        self.plain = PlainStep(ours.model, optimizer, getattr(torch, precision))
        self.images, self.paths = ours.images, ours.model.step_paths(0, 0)

    def __call__(self) -> None:
        """One step."""
        self.plain.step(self.images, self.paths)


class Floor:
    """The convolutions and matrix products of a step alone."""

    def __init__(self, config: Config, pixels: int, batch: int, precision: str) -> None:
        ours = Ours(config, pixels, batch, precision)
        self.calls: list[Callable[[], None]] = []
        self.dtype, self.tensors = getattr(torch, precision), {}
        taught = set(ours.model.teacher.modules())
        hooks = [
            module.register_forward_hook(
                lambda module, given, out: self._note(module, given[0].shape, module not in taught)
            )
            for module in ours.model.modules()
            if isinstance(module, (nn.Conv2d, nn.Linear))
        ]
        ours()
        for hook in hooks:
            hook.remove()
        self._note_queue(ours.model.head.pair.queue, batch)

    @torch.no_grad()
    def __call__(self) -> None:
        """One step."""
        for call in self.calls:
            call()

    def _note(self, module: nn.Conv2d | nn.Linear, shape: torch.Size, learns: bool) -> None:
        x, weight = self._tensor(shape), self._tensor(module.weight.shape)
        if isinstance(module, nn.Linear):
            self._product(x, weight.T, learns)
            return
        places = module.stride, module.padding, module.dilation, False, (0, 0), module.groups
        out = self._tensor(torch.ops.aten.convolution(x, weight, None, *places).shape)
        self.calls.append(lambda: torch.ops.aten.convolution(x, weight, None, *places))
        if learns:
            # The images themselves need no gradient.
            wanted = [shape[1] > 3, True, False]
            backward = torch.ops.aten.convolution_backward
            self.calls.append(lambda: backward(out, x, weight, None, *places, wanted))

    def _note_queue(self, queue: torch.Tensor, batch: int) -> None:
        """Of both queries; negatives do not learn."""
        queries, self.dtype = (batch, len(queue)), queue.dtype
        queries, queue = self._tensor(queries), self._tensor(queue.shape)
        out = self._tensor((batch, queue.shape[1]))
        self.calls += 2 * [lambda: queries @ queue, lambda: out @ queue.T]

    def _product(self, x: torch.Tensor, weight: torch.Tensor, learns: bool) -> None:
        out = self._tensor((x @ weight).shape)
        self.calls.append(lambda: x @ weight)
        if learns:
            self.calls += [lambda: out @ weight.T, lambda: x.T @ out]

    def _tensor(self, shape: Any) -> torch.Tensor:
        key = tuple(shape), self.dtype
        if key not in self.tensors:
            made = torch.randn(shape, device=DEVICE).to(self.dtype)
            layout = torch.channels_last if made.ndim == 4 else torch.contiguous_format
            self.tensors[key] = made.contiguous(memory_format=layout)
        return self.tensors[key]


def side(kind: str, name: str, pixels: int, batch: int, precision: str) -> Callable[[], None]:
    """One of the sides, ready to be run."""
    config = read_config(FILES[name])
    return dict(plain=Plain, ours=Ours, floor=Floor)[kind](config, pixels, batch, precision)


def profiled(ours: Ours) -> dict[str, float]:
    """The share of each part in one of our steps."""
    model = ours.model
    named(model.data_preprocessor, "forward", "views")
    if hasattr(model.teacher, "update"):
        named(model.teacher, "update", "teacher update")
    named(model.head, "forward", "loss and queue")
    for module in model.modules():
        if isinstance(module, SplitAttention):
            named(module, "forward", "attention")
    return shares(ours, DEVICE.type)


def measure(name: str, pixels: int, batch: int, precision: str, args: argparse.Namespace) -> dict:
    """One row: seconds of all sides in turns, their ratios, memory, and shares of ours."""
    makers = {kind: functools.partial(side, kind, name, pixels, batch, precision) for kind in SIDES}
    with Turns(makers, args.threads) as turns:
        times, held = turns.seconds(args.rounds), turns.memory()
        parts = turns.ask("ours", profiled)
    row = dict(model=name, pixels=pixels, batch=batch, precision=precision, rounds=args.rounds)
    for kind in SIDES:
        seconds = dict(min=min(times[kind]), median=statistics.median(times[kind]))
        row[kind] = dict(seconds=seconds, images_per_second=batch / seconds["min"])
        if kind != "floor":
            row[kind]["peak_bytes"] = held[kind]
    for ratio, (one, other) in (("plain_to_ours", SIDES[:2]), ("ours_to_floor", SIDES[1:])):
        pair = row[one]["seconds"], row[other]["seconds"]
        row[ratio] = {which: pair[0][which] / pair[1][which] for which in ("min", "median")}
    return row | dict(shares=parts)


def table(rows: list[dict]) -> Table:
    """The rows, ratios of minima (medians)."""
    made = Table(title="training step, ratios of minima (of medians)")
    made.add_column("step")
    for column in ("plain, s", "ours, s", "floor, s", "plain / ours", "ours / floor", "memory"):
        made.add_column(column, justify="right")
    for row in rows:
        ratios = [row[ratio] for ratio in ("plain_to_ours", "ours_to_floor")]
        made.add_row(
            f"{row['model']} {row['pixels']} px x {row['batch']}, {row['precision']}",
            *(f"{row[kind]['seconds']['min']:.3f}" for kind in SIDES),
            *(f"{ratio['min']:.2f} ({ratio['median']:.2f})" for ratio in ratios),
            " / ".join(f"{row[kind]['peak_bytes'] / 2**30:.1f}" for kind in SIDES[:2]) + " GiB",
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", choices=FILES, default=["demo", "default"])
    parser.add_argument("--pixels", nargs="+", type=int, default=[64, 128, 224])
    parser.add_argument("--batch", nargs="+", type=int, default=[4, 16])
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    console = Console()
    if "bfloat16" in args.precision and DEVICE.type == "cpu" and not fast_bfloat16():
        console.print("bfloat16 is left out: this CPU does not multiply in it")
        args.precision = [kind for kind in args.precision if kind != "bfloat16"]
    sizes = [(name, *size) for name, size in OWN.items()]
    sizes += [("default", p, b) for p in args.pixels for b in args.batch]
    rows = []
    for name, pixels, batch in (size for size in sizes if size[0] in args.models):
        for precision in args.precision:
            row = measure(name, pixels, batch, precision, args)
            rows.append(row)
            parts = ", ".join(f"{part} {share:.0%}" for part, share in row["shares"].items())
            console.print(f"{name} {pixels} px x {batch}, {precision}: {parts}")
            if args.out:
                device = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "cpu"
                found = dict(device=device, threads=args.threads, rows=rows)
                write_json(args.out, facts(__file__) | found)
    console.print(table(rows))


if __name__ == "__main__":
    main()
