#!/usr/bin/env python
"""Measures the memory of a training step of several paths against that of a step of one.

    python benchmarks/backward_passes.py [--out FILE.json] [--batch 64]

What is measured is the peak of what PyTorch's CPU allocator holds during a step beyond what it held
before it, when model, momentum and images were there and gradients were not. PyTorch's profiler
records every allocation and release, so the number is exact and the same in every run, which a
process's resident memory is not. The eight candidates differ in the width of their attention alone,
a few numbers an image: a step of one path holds the same along any of them. (Kernels of different
sizes would not do: a convolution's workspace depends on them.) Each measurement has a process of
its own. One graph is what mmengine's own step makes of the same loss.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample
from results import facts
from rich.console import Console
from rich.table import Table

from pinas_mm.algorithms import SinglePath
from pinas_mm.files import write_json
from pinas_mm.registry import MODELS

CLASSES = 10
SQUEEZES = range(1, 9)
PATHS = (1, 2, 4, 8)
WANTED = 1.15


def supernet_classifier(paths: int) -> SinglePath:
    """FairNAS on eight candidates of MobileNetV2's inverted residual."""
    space = dict(
        candidates=[dict(type="InvertedResidual", squeeze=n) for n in SQUEEZES],
        skeleton=dict(type="MobileNetV2Skeleton", stem_width=16, last_width=0),
        depths=(2, 2, 2),
        widths=(16, 24, 32),
        strides=(1, 2, 2),
    )
    inner = dict(
        type="mmpretrain.ImageClassifier",
        backbone=dict(type="pinas_mm.PiNASSupernet", space=space),
        neck=dict(type="mmpretrain.GlobalAveragePooling"),
        head=dict(type="mmpretrain.LinearClsHead", num_classes=CLASSES, in_channels=32),
        data_preprocessor=BaseDataPreprocessor(),
    )
    sampler = dict(type="pinas_mm.FairPaths", num_paths=paths)
    return MODELS.build(dict(type="pinas_mm.SinglePath", model=inner, paths=sampler)).train()


def peak(paths: int, one_graph: bool, batch: int) -> int:
    """Bytes that a step holds at most, beyond what was there before it."""
    torch.set_num_threads(1)
    model = supernet_classifier(paths)
    sgd = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    # Momentum of all candidates: a step would make that of those it meets first.
    sgd.step()
    sgd.zero_grad()
    optimizer = OptimWrapper(sgd)
    hub = MessageHub.get_instance("benchmark")
    data = dict(
        inputs=torch.randn(batch, 3, 32, 32),
        data_samples=[DataSample().set_gt_label(n % CLASSES) for n in range(batch)],
    )
    step = BaseModel.train_step if one_graph else SinglePath.train_step
    hub.update_info("seed", 0)
    # The first step is before the profiler, which has its own beginnings.
    hub.update_info("iter", 0)
    step(model, data, optimizer)
    hub.update_info("iter", 1)
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        step(model, data, optimizer)
    return _peak(profiler)


def _peak(profiler: torch.profiler.profile) -> int:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    changes = [event for event in events if event["name"] == "[memory]"]
    held = most = 0
    for event in sorted(changes, key=lambda event: event["ts"]):
        held += event["args"]["Bytes"]
        most = max(most, held)
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="file for the figures, as JSON")
    parser.add_argument("--batch", type=int, default=64, help="images of 32 pixels a step")
    args = parser.parse_args()
    kinds = {"a backward pass each": False, "one graph": True}
    with ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as processes:
        figures = {
            kind: {n: processes.submit(peak, n, one_graph, args.batch) for n in PATHS}
            for kind, one_graph in kinds.items()
        }
        figures = {
            kind: {n: found.result() for n, found in row.items()} for kind, row in figures.items()
        }
    table = Table(title=f"peak memory of a step of {args.batch} images (wanted: {WANTED})")
    table.add_column("")
    for number in PATHS:
        table.add_column(f"{number} path{'s' if number > 1 else ''}", justify="right")
    for kind, row in figures.items():
        cells = (f"{n / 2**20:.1f} MiB, {n / row[1]:.2f} x" for n in row.values())
        table.add_row(kind, *cells)
    Console().print(table)
    if args.out:
        rows = {
            kind: {n: dict(bytes=value, ratio=value / row[1]) for n, value in row.items()}
            for kind, row in figures.items()
        }
        write_json(args.out, facts(__file__) | dict(paths=rows))


if __name__ == "__main__":
    main()
