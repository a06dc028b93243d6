#!/usr/bin/env python
"""Times parts of a training step against their plain versions, in one run, on this machine.

    python benchmarks/training_step.py [--out FILE.json] [--threads 1]

Each row is a ratio of medians; the two versions take turns, so that both meet the same load.
"""

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F
from torchvision.transforms import v2

from pinas_mm.algorithms import InfoNCEHead, MeanTeacher
from pinas_mm.data.augment import Augment
from pinas_mm.files import write_json
from pinas_mm.machine import machine
from pinas_mm.models import PiNASSupernet
from pinas_mm.run_state import generator


def compare(plain: Callable[[], object], ours: Callable[[], object], rounds: int) -> dict:
    """Median milliseconds of both, and how many times faster ours is."""
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    for number in range(rounds + 2):
        for name, run in (("plain", plain), ("ours", ours)):
            start = time.perf_counter()
            run()
            if number >= 2:
                seconds[name].append(time.perf_counter() - start)
    medians = {f"{name}_ms": 1e3 * statistics.median(times) for name, times in seconds.items()}
    return medians | {"ratio": medians["plain_ms"] / medians["ours_ms"]}


def views() -> tuple[Callable[[], object], Callable[[], object]]:
    """256 views of 32 pixels: torchvision image by image, and the batch at once."""
    images = torch.rand(256, 3, 32, 32)
    augment = Augment(size=32, blur=0)
    each = v2.Compose(
        [
            v2.RandomResizedCrop(32, scale=augment.scale, antialias=False),
            v2.RandomHorizontalFlip(augment.flip),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.4)], augment.jitter),
            v2.RandomGrayscale(augment.gray),
        ]
    )
    random = generator(0)
    return lambda: torch.stack([each(image) for image in images]), lambda: augment(images, random)


def teacher() -> tuple[Callable[[], object], Callable[[], object]]:
    """Moving the paper's teacher along a path: parameter by parameter, and all at once."""
    backbone = PiNASSupernet()
    neck = torch.nn.Linear(2048, 128)
    arch = backbone.space.arch("301-3231-203213-032")
    mean_teacher = MeanTeacher(backbone, neck)

    @torch.no_grad()
    def plain() -> None:
        pairs = zip(
            [*mean_teacher.backbone.path_modules(arch), mean_teacher.neck],
            [*backbone.path_modules(arch), neck],
            strict=True,
        )
        for old, new in pairs:
            for p, q in zip(old.parameters(), new.parameters(), strict=True):
                p.data = p.data * 0.999 + q.data * 0.001

    return plain, lambda: mean_teacher.update(backbone, neck, arch)


def negatives() -> tuple[Callable[[], object], Callable[[], object]]:
    """Loss, backward pass and enqueueing of 24 keys against 49,152, with a copied queue or not."""
    head = InfoNCEHead()
    other = copy.deepcopy(head)
    queries, keys = (F.normalize(torch.randn(24, 128), dim=1) for _ in range(2))

    def plain() -> None:
        q = queries.clone().requires_grad_()
        queue = other.queue.clone()
        logits = torch.cat([(q * keys).sum(1, keepdim=True), q @ queue], dim=1)
        F.cross_entropy(logits / 0.2, torch.zeros(24, dtype=torch.long)).backward()
        other.update(keys)

    def ours() -> None:
        q = queries.clone().requires_grad_()
        loss = head(q, keys)
        head.update(keys)
        loss.backward()

    return plain, ours


PARTS = {"views": (views, 10), "teacher update": (teacher, 20), "negative queue": (negatives, 30)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="file for the figures, as JSON")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    figures = {name: compare(*part(), rounds) for name, (part, rounds) in PARTS.items()}
    table = Table(title=f"training step, {args.threads} thread(s)")
    for column in ("part", "plain, ms", "ours, ms", "ratio"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for name, row in figures.items():
        table.add_row(
            name, f"{row['plain_ms']:.2f}", f"{row['ours_ms']:.2f}", f"{row['ratio']:.1f}"
        )
    Console().print(table)
    if args.out:
        command = f"benchmarks/training_step.py --threads {args.threads}"
        write_json(args.out, dict(command=command, machine=machine(), parts=figures))


if __name__ == "__main__":
    main()
