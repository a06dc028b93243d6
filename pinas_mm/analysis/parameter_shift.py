"""How far gradients of a choice block's parameters disagree between paths, and how these move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from pinas_mm.algorithms.base import Step, SupernetAlgorithm
from pinas_mm.analysis.feature_shift import one_minus_cosine
from pinas_mm.analysis.unchanged import seed_all
from pinas_mm.long_work import LongWork
from pinas_mm.models.choice_block import ChoiceBlock
from pinas_mm.models.samples import own_samples
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.space import Arch, SearchSpace
from pinas_mm.space.paths import FairPaths

PARAMETER = ("parameter/cosine", "parameter/conflict")
MOTION = "parameter/motion"


def parameter_shift(
    model: SupernetAlgorithm,
    batches: Sequence[dict[str, Any]],
    pairs: int,
    seed: int,
    restore: Callable[[], None],
) -> dict[str, list[list[float]]]:
    """The measures of :data:`PARAMETER`, by place, for each pair of paths that share a candidate.

    Paths come in groups that have every candidate of every block once, as FairNAS draws them; a
    path is compared with the one before it that had the same candidate.

    Args:
        model: is left in training mode.
        batches: as the data preprocessor gives them.
        pairs: comparisons of the candidates of a block, at least.
        seed: of the paths, their partners, and the random numbers of each step.
        restore: brings parameters and buffers back to where all steps start.
    """
    space, number = model.backbone.space, model.backbone.num_running
    paths = FairPaths(pairs + int(space.counts.max()))(space, seed, 0)
    found: dict[str, list[list[float]]] = {n: [[] for _ in range(number + 1)] for n in PARAMETER}
    before: dict[tuple[int, int], torch.Tensor] = {}
    progress = LongWork("parameter shift, paths", len(paths))
    model.train()
    for index, path in enumerate(paths):
        step = with_partners(space, path, model.paths.num_paths, [seed, index])
        blocks = [cast(ChoiceBlock, model.backbone.block(b)) for b in range(number)]
        owned = [_trained(block[choice]) for block, choice in zip(blocks, path, strict=False)]
        gradients = _gradients(model, batches, step, owned, seed, restore)
        for block, gradient in enumerate(gradients):
            other = before.get((block, path[block]))
            if other is not None and len(gradient):
                values = compare_gradients(gradient, other)
                for name, value in zip(PARAMETER, values, strict=True):
                    if value is not None:
                        found[name][block].append(value)
            before[block, path[block]] = gradient
        progress.step()
    return found


class Snapshot:
    """Parameters of the choice blocks at an iteration, kept on the CPU.

    Args:
        backbone: the supernet.
        iteration: training steps done.
    """

    def __init__(self, backbone: PiNASSupernet, iteration: int) -> None:
        self.iteration = iteration
        self._values = [
            [p.detach().to("cpu", copy=True) for p in backbone.block(number).parameters()]
            for number in range(backbone.num_running)
        ]

    @torch.no_grad()
    def motion(self, backbone: PiNASSupernet, iteration: int) -> list[list[float]]:
        """How far each block's parameters have moved since, relative to their length, per step.

        Returns:
            A value for each place; none for blocks without parameters, or with zeros only, and for
            the output.
        """
        found: list[list[float]] = []
        for number, values in enumerate(self._values):
            now = [p.detach().cpu() for p in backbone.block(number).parameters()]
            moved = sum(float((a - b).square().sum()) for a, b in zip(now, values, strict=True))
            length = sum(float(value.square().sum()) for value in values)
            steps = iteration - self.iteration
            found.append([(moved / length) ** 0.5 / steps] if length else [])
        return [*found, []]


def compare_gradients(g: torch.Tensor, h: torch.Tensor) -> tuple[float, float | None]:
    """One minus cosine, and the share of conflicting signs, None where no pair has two."""
    g, h = g.double(), h.double()
    cosine = float(one_minus_cosine(g @ h, g @ g, h @ h))
    signs = g.sign() * h.sign()
    both = int(signs.count_nonzero())
    return cosine, int((signs < 0).sum()) / both if both else None


def with_partners(space: SearchSpace, arch: Arch, number: int, key: Sequence[int]) -> list[Arch]:
    """The path, and random others up to ``number`` that pairwise differ where there is a choice.

    Args:
        space: the space of the paths.
        arch: the path.
        number: how many paths in all.
        key: seeds the others.
    """
    order = np.where(space.mask, np.random.default_rng(key).random(space.mask.shape), np.inf)
    blocks = np.arange(space.num_blocks)
    order[blocks, list(arch)] = -1
    order = order.argsort(axis=1)
    return [Arch(order[blocks, path % space.counts], space.depths) for path in range(number)]


def loss_along(
    model: SupernetAlgorithm, batch: dict[str, Any], paths: Sequence[Arch]
) -> torch.Tensor:
    """A training step's loss along the first path; the others are its partners where paths are
    coupled. It may move more than gradients: statistics, a teacher, a queue.

    Args:
        model: in training mode.
        batch: as the data preprocessor gives it.
        paths: as many as its steps take where it couples them.
    """
    # The batch is for the next path too.
    batch = own_samples(batch)
    if model.couples_paths:
        losses = model.loss(**batch, paths=paths)
    else:
        losses = model.path_loss(batch, paths[0], Step(paths[:1]))
    return model.parse_losses(losses)[0]


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _gradients(
    model: SupernetAlgorithm,
    batches: Sequence[dict[str, Any]],
    paths: Sequence[Arch],
    owned: Sequence[Sequence[nn.Parameter]],
    seed: int,
    restore: Callable[[], None],
) -> list[torch.Tensor]:
    """Gradients of the loss along the first path, mean over batches, one vector for each block."""
    parameters = [parameter for block in owned for parameter in block]
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for batch in batches if parameters else ():
        seed_all(seed)
        with torch.enable_grad():
            loss = loss_along(model, batch, paths)
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for sums, gradient in zip(total, gradients, strict=True):
            if gradient is not None:
                sums += gradient / len(batches)
        # A step may move more than gradients: statistics, a teacher, a queue.
        restore()
    left = iter(total)
    empty = torch.zeros(0)
    return [torch.cat([next(left).flatten() for _ in b]) if b else empty for b in owned]
