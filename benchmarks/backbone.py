#!/usr/bin/env python
"""Times inference of the stand-alone backbone against the ResNeSt-50 of mmpretrain and of timm.

    python benchmarks/backbone.py [--out FILE.json] [--rounds 15]

Architecture 111-1111-111111-111 is ResNeSt-50: with the same weights all three give the same
features, which is checked first. All return the maps of four stages. Every network has a process of
its own; all take turns, so that they meet the same load, and minima are compared. Forms of each:
``eager`` as the library builds it; ``folded``, batch norms folded (by the same function for all);
``onnx``, exported and run by ONNX Runtime on the CPU, where that is installed;
and with ``--forms eager folded compiled``, say, folded and compiled by ``torch.compile``, which
needs a C++ compiler. bfloat16 is timed on a GPU and on CPUs that multiply in it.
"""

import argparse
import functools
import importlib.util
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from results import facts
from rich.console import Console
from rich.table import Table
from torch import nn

from pinas_mm.compat import fast_bfloat16
from pinas_mm.errors import UserError
from pinas_mm.files import check_output, write_json
from pinas_mm.models import PiNASBackbone
from pinas_mm.models.deployed import deployed

RESNEST50 = "111-1111-111111-111"
OURS = dict(all_1=RESNEST50, pinas_cls="pinas_cls", pinas_trans="pinas_trans")
PEERS = ("mmpretrain", "timm")
LIMIT = 1e-5
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

Size = tuple[int, int, int]


def network(name: str) -> nn.Module:
    """One of the networks in evaluation mode; those of ResNeSt-50 have the same weights."""
    torch.manual_seed(0)
    ours = PiNASBackbone(OURS.get(name, RESNEST50))
    ours.init_weights()
    for key, value in ours.state_dict().items():
        # As training has it, a block adds little to its shortcut, and rounding errors stay small.
        if key.endswith("bn3.weight"):
            value.fill_(0.2)
    built = ours if name in OURS else _peer(name, ours)
    built.eval()
    return built.requires_grad_(False)


def _peer(name: str, ours: PiNASBackbone) -> nn.Module:
    if name == "timm":
        import timm

        peer = timm.create_model("resnest50d", features_only=True, out_indices=(1, 2, 3, 4))
    else:
        from mmpretrain.models.backbones import ResNeSt

        peer = ResNeSt(50, out_indices=(0, 1, 2, 3))
    # Names differ, their order does not.
    values = zip(peer.state_dict(), ours.state_dict().values(), strict=True)
    peer.load_state_dict(dict(values))
    return peer


@torch.no_grad()
def check_same(side: int) -> dict[str, float]:
    """Largest difference of each peer's features from ours, over a map's largest value.

    Raises:
        UserError: one is above 1e-5.
    """
    images = torch.randn(2, 3, side, side)
    ours, found = network("all_1")(images), {}
    for name in PEERS:
        theirs = network(name)(images)
        pairs = list(zip(ours, theirs, strict=True))
        found[name] = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
        if not found[name] < LIMIT:
            raise UserError(
                f"{name}'s ResNeSt-50 differs from ours by {found[name]:.1e}, allowed is {LIMIT}"
            )
    return found


@functools.cache
def form(name: str, kind: str, dtype: str) -> Callable[[torch.Tensor], object]:
    """A network in one of its forms; a process makes each of them once."""
    device = "cpu" if kind == "onnx" else DEVICE
    return deployed(network(name).to(device), torch.zeros(1, 3, 64, 64, device=device), kind, dtype)


@torch.inference_mode()
def seconds(name: str, kind: str, dtype: str, size: Size, threads: int) -> float:
    """Of one forward pass, in a process that has made this one before or does so now."""
    torch.set_num_threads(threads)
    run, images = form(name, kind, dtype), _images(size, dtype, kind)
    _synchronize()
    start = time.perf_counter()
    run(images)
    _synchronize()
    return time.perf_counter() - start


@functools.cache
def _images(size: Size, dtype: str, kind: str) -> torch.Tensor:
    batch, height, width = size
    device = "cpu" if kind == "onnx" else DEVICE
    return torch.randn(batch, 3, height, width).to(device, getattr(torch, dtype))


def _synchronize() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def usual_forms() -> list[str]:
    """Those that need nothing that is not installed."""
    installed = all(map(importlib.util.find_spec, ("onnx", "onnxruntime")))
    return ["eager", "folded", *["onnx"] * installed]


def measure(
    dtype: str, sizes: Sequence[Size], forms: Sequence[str], rounds: int, threads: int
) -> list[dict]:
    """A cell for each size: milliseconds of every network and form, and ratios."""
    # ONNX Runtime's CPU kernels know no bfloat16.
    kinds = [kind for kind in forms if kind != "onnx" or dtype == "float32"]
    turns = [(name, kind) for name in (*OURS, *PEERS) for kind in kinds]
    spawn = multiprocessing.get_context("spawn")
    processes = {name: ProcessPoolExecutor(1, spawn) for name in (*OURS, *PEERS)}
    cells = []
    try:
        for size in sizes:
            times = {turn: [] for turn in turns}
            for number in range(rounds + 2):
                for turn in turns:
                    took = processes[turn[0]].submit(seconds, *turn, dtype, size, threads).result()
                    if number >= 2:
                        times[turn].append(1e3 * took)
            cells.append(_cell(dtype, size, times))
    finally:
        for process in processes.values():
            process.shutdown()
    return cells


def _cell(dtype: str, size: Size, times: dict[tuple[str, str], list[float]]) -> dict:
    ms: dict[str, dict] = {}
    for (name, kind), values in times.items():
        ms.setdefault(kind, {})[name] = dict(min=min(values), median=statistics.median(values))
    fastest = {kind: min(row[name]["min"] for name in PEERS) for kind, row in ms.items()}
    ratios = {kind: fastest[kind] / row["all_1"]["min"] for kind, row in ms.items()}
    if {"eager", "folded"} <= ms.keys():
        # What the others give whoever asks for no more, and what ours gives who folds.
        ratios["folded against eager"] = fastest["eager"] / ms["folded"]["all_1"]["min"]
    batch, height, width = size
    return dict(dtype=dtype, batch=batch, height=height, width=width, ms=ms, ratios=ratios)


def show(cells: Sequence[dict], rounds: int) -> None:
    table = Table(title=f"ms of a forward pass, minimum (median) of {rounds} rounds")
    for column in ("images", "form", *OURS, *PEERS, "ratio"):
        table.add_column(column, justify="left" if column in ("images", "form") else "right")
    for cell in cells:
        images = f"{cell['dtype']} {cell['batch']} x {cell['height']} x {cell['width']}"
        for kind, row in cell["ms"].items():
            times = (f"{t['min']:.1f} ({t['median']:.1f})" for t in row.values())
            table.add_row(images, kind, *times, f"{cell['ratios'][kind]:.2f}")
        for kind in cell["ratios"].keys() - cell["ms"].keys():
            table.add_row(images, kind, *[""] * len(row), f"{cell['ratios'][kind]:.2f}")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="file for the figures, as JSON")
    parser.add_argument("--sizes", nargs="+", default=["224x224", "800x1216"], metavar="HxW")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    kinds = ("eager", "folded", "onnx", "compiled")
    parser.add_argument("--forms", nargs="+", choices=kinds, default=usual_forms())
    args = parser.parse_args()
    if args.out:
        check_output(Path(args.out))
    sizes = [(n, *map(int, size.split("x"))) for size in args.sizes for n in args.batches]
    different = check_same(64)
    measured = functools.partial(
        measure, sizes=sizes, forms=args.forms, rounds=args.rounds, threads=args.threads
    )
    cells = measured("float32")
    if DEVICE.type == "cuda" or fast_bfloat16():
        cells += measured("bfloat16")
    else:
        print("bfloat16 is left out: this CPU does not multiply in it")
    show(cells, args.rounds)
    if args.out:
        found = facts(__file__) | dict(device=str(DEVICE), rounds=args.rounds)
        write_json(args.out, found | dict(largest_difference=different, cells=cells))


if __name__ == "__main__":
    main()
