"""Draws the pictures of the concepts from the package itself: python docs/concepts/figures.py"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from torch import nn
from torch.nn import functional as F

from pinas_mm.algorithms.heads import InfoNCEHead, PiModelHead, embedding_spread
from pinas_mm.algorithms.teacher import MeanTeacher
from pinas_mm.analysis.feature_shift import one_minus_cosine
from pinas_mm.models import PiNASSupernet
from pinas_mm.space import SearchSpace
from pinas_mm.space.paths import CrossPaths

matplotlib.use("Agg")
HERE = Path(__file__).resolve().parent
A, B, GRAY = "#c24a20", "#2f6690", "#9aa5b8"


def draw_paths() -> Figure:
    """The paper's space as a grid, and the two paths of a step."""
    space = SearchSpace()
    figure = Figure((9, 2.9), layout="constrained")
    axes = figure.subplots()
    places = np.arange(space.num_blocks)
    for candidate in range(space.num_candidates):
        axes.scatter(places, np.full_like(places, candidate), s=90, color=GRAY, alpha=0.5)
    for path, color, name in zip(CrossPaths()(space, 0, 0), (A, B), "AB", strict=True):
        axes.plot(places, list(path), "-o", color=color, lw=2, label=f"path {name}: {path}")
    starts = np.cumsum((0, *space.depths))
    for start in starts[1:-1]:
        axes.axvline(start - 0.5, color=GRAY, lw=0.8, ls=":")
    axes.set_xticks(starts[:-1], [f"stage {stage + 1}" for stage in range(len(space.depths))])
    labels = [f"{i}: radix {c.radix}, groups {c.groups}" for i, c in enumerate(space.candidates)]
    axes.set_yticks(range(space.num_candidates), labels)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def small_supernet() -> PiNASSupernet:
    """Random weights; last norms start at one, so that paths differ."""
    config = Config.fromfile(HERE.parents[1] / "benchmarks/configs/small_supernet.py")
    torch.manual_seed(0)
    space = SearchSpace.build({**config.small_space.to_dict(), "depths": (2, 2, 2, 2)})
    supernet = PiNASSupernet(space=space)
    supernet.init_weights()
    for module in supernet.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return supernet.train()


def draw_shifts(images: int = 64, paths: int = 12) -> Figure:
    """A channel's mean over images, by block and path; agreement of gradients between paths."""
    supernet = small_supernet()
    x = torch.randn(images, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    archs = supernet.space.sample(paths, np.random.default_rng(0))
    figure = Figure((9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    with torch.no_grad():
        for arch in archs:
            features, means = supernet.forward_stem(x), []
            for number in range(supernet.num_running):
                means.append(float(features[:, 0].mean()))
                features = supernet.forward_cell(features, number, arch[number])
            left.plot(means, "-o", ms=3, color=B, alpha=0.5)
    left.set(xlabel="choice block", ylabel="mean of a channel of its input", title="Feature shift")
    for block in range(supernet.num_running):
        found = [disagreement(supernet, x, archs, block, other) for other in range(1, 5)]
        right.scatter([block] * len(found), found, s=16, color=A, alpha=0.7)
    right.axhline(1, color=GRAY, lw=0.8, ls=":")
    right.set(xlabel="choice block", ylabel="1 - cosine of two gradients", title="Parameter shift")
    right.set_ylim(0, 2)
    return figure


def disagreement(
    supernet: PiNASSupernet, images: torch.Tensor, archs: list, block: int, other: int
) -> float:
    """One minus the cosine of a candidate's gradients along two paths, for the same targets."""
    targets = torch.randn(len(images), 64, generator=torch.Generator().manual_seed(1))
    grads = []
    for arch in (archs[0], archs[other]):
        path = list(arch)
        path[block] = archs[0][block]
        path = supernet.space.arch(path)
        supernet.zero_grad()
        outputs = supernet(images, path)[-1].mean(dim=(2, 3))
        F.mse_loss(outputs, targets[:, : outputs.shape[1]]).backward()
        candidate = supernet.block(block).running(path[block])[0]
        found = [p.grad for p in candidate.parameters() if p.grad is not None]
        grads.append(torch.cat([gradient.flatten() for gradient in found]))
    one, two = grads
    return float(one_minus_cosine(one @ two, one @ one, two @ two))


def draw_teacher(steps: int = 300) -> Figure:
    """A weight that two paths pull to and fro, and mean teachers of two momenta."""

    class Weight(nn.Linear):
        def path_modules(self, arch: object) -> list[nn.Module]:
            return [self]

    torch.manual_seed(0)
    student, neck = Weight(1, 1, bias=False), nn.Identity()
    nn.init.zeros_(student.weight)
    teachers = {momentum: MeanTeacher(student, neck, momentum) for momentum in (0.9, 0.99)}
    random, lines = np.random.default_rng(0), {name: [] for name in ("student", *teachers)}
    with torch.no_grad():
        for step in range(steps):
            wanted = 1 + (0.8 if step % 2 else -0.8) + random.normal(0, 0.3)
            student.weight += 0.3 * (wanted - student.weight)
            lines["student"].append(float(student.weight))
            for momentum, teacher in teachers.items():
                teacher.update(student, neck, None)
                lines[momentum].append(float(teacher.backbone.weight))
    figure = Figure((9, 2.8), layout="constrained")
    axes = figure.subplots()
    for (name, values), color in zip(lines.items(), (GRAY, B, A), strict=True):
        label = name if name == "student" else f"teacher, momentum {name}"
        axes.plot(values, color=color, lw=1 if name == "student" else 2, label=label)
    axes.set(xlabel="step", ylabel="one weight")
    axes.legend(frameon=False, ncols=3)
    return figure


def draw_queue(images: int = 256, size: int = 4096) -> Figure:
    """Losses of embeddings on which student and teacher agree, the more alike all images' are."""
    torch.manual_seed(0)
    common, own, others = torch.randn(1, 128), torch.randn(images, 128), torch.randn(size, 128)
    negatives, alone = InfoNCEHead(dim=128, queue_size=size), PiModelHead()
    lines: dict[str, list[float]] = {f"InfoNCE, {size:,} negatives": [], "squared distance": []}
    spreads = []
    for share in torch.linspace(0, 1, 41):
        batch, queue = (
            F.normalize((1 - share) * each + share * common, dim=1) for each in (own, others)
        )
        negatives.queue.copy_(queue.T)
        for losses, head in zip(lines.values(), (negatives, alone), strict=True):
            losses.append(float(head(batch, batch)))
        spreads.append(float(embedding_spread(batch)))
    figure = Figure((9, 2.8), layout="constrained")
    axes = figure.subplots()
    for (name, losses), color in zip(lines.items(), (B, A), strict=True):
        axes.plot(spreads, losses, color=color, lw=2, label=name)
    axes.set(xlabel="spread of the images' embeddings (0: all equal)", ylabel="loss")
    axes.legend(frameon=False)
    return figure


FIGURES: dict[str, Callable[[], Figure]] = dict(
    paths=draw_paths, shifts=draw_shifts, teacher=draw_teacher, queue=draw_queue
)


def main() -> None:
    """Draws all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the pictures")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        draw().savefig(out / f"{name}.png", dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    main()
