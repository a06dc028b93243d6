"""Architectures trained alone, the seeds of one architecture side by side as one network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from images import Images
from torch import nn
from torch.nn import functional as F

from pinas_mm.data.augment import Augment
from pinas_mm.models import PiNASBackbone
from pinas_mm.space import SearchSpace


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How an architecture is trained from scratch.

    Attributes:
        steps: of SGD along one cycle of the learning rate (Smith and Topin, 2018).
        batch: images a step and seed.
        lr: the highest learning rate.
        weight_decay: of SGD.
        augment: arguments of :class:`~pinas_mm.data.augment.Augment`.
    """

    steps: int
    batch: int
    lr: float
    weight_decay: float
    augment: dict[str, Any]


class Classifiers(nn.Module):
    """Backbones of one architecture with linear classifiers, one a seed, as one grouped network.

    Every convolution has as many groups as there are seeds, times its own, and batch norms are a
    channel's own: no seed sees another, and a step is one pass of larger kernels.

    Args:
        space: of the architecture.
        arch: the architecture.
        seeds: of the weights.
        num_classes: of the classifier.
    """

    def __init__(
        self, space: SearchSpace, arch: Any, seeds: Sequence[int], num_classes: int
    ) -> None:
        super().__init__()
        nets = []
        for seed in seeds:
            torch.manual_seed(seed)
            backbone = PiNASBackbone(arch, space)
            backbone.init_weights()
            pool, width = nn.AdaptiveAvgPool2d(1), space.out_channels[-1]
            nets.append(nn.Sequential(backbone, pool, nn.Conv2d(width, num_classes, 1)))
        self.net = grouped(nets)
        self.num_seeds, self.num_classes = len(seeds), num_classes

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (N, seeds, 3, H, W) to outputs (N, seeds, classes)."""
        backbone, pool, head = self.net
        out = head(pool(backbone(images.flatten(1, 2))[-1]))
        return out.view(len(images), self.num_seeds, self.num_classes)


def grouped(networks: Sequence[nn.Module]) -> nn.Module:
    """The first of several equal networks, changed to compute them all on concatenated channels.

    Args:
        networks: of convolutions, batch norms and what has no weights and keeps channels apart.

    Raises:
        TypeError: one has weights of another kind.
    """
    first, number = networks[0], len(networks)
    for parts in zip(*(network.modules() for network in networks), strict=True):
        module = parts[0]
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        if not own:
            continue
        if isinstance(module, nn.Conv2d):
            module.in_channels *= number
            module.out_channels *= number
            module.groups *= number
        elif isinstance(module, nn.BatchNorm2d):
            module.num_features *= number
        else:
            raise TypeError(f"{type(module).__name__} has weights that cannot be grouped")
        for name, value in own:
            if value.ndim:
                together = torch.cat([getattr(part, name).detach() for part in parts])
                value.data = together
    return first


def train_alone(
    space: SearchSpace, arch: Any, seeds: Sequence[int], images: Images, recipe: Recipe
) -> list[float]:
    """Top-1 of an architecture on the test images, in percent, one a seed."""
    return top1(trained(space, arch, seeds, images, recipe), images)


def trained(
    space: SearchSpace, arch: Any, seeds: Sequence[int], images: Images, recipe: Recipe
) -> Classifiers:
    """An architecture trained from scratch.

    A seed decides the weights, the order of the images and their views, whatever the other seeds.
    """
    model = Classifiers(space, arch, seeds, images.num_classes)
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=0.9,
        nesterov=True,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, recipe.steps)
    streams = [images.train_batches(recipe.batch, Augment(**recipe.augment), s) for s in seeds]
    for _ in range(recipe.steps):
        batches = [next(stream) for stream in streams]
        inputs = torch.stack([x for x, _ in batches], dim=1)
        labels = torch.stack([y for _, y in batches], dim=1)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        # The mean over seeds would scale each one's gradient by their number.
        (loss * len(seeds)).backward()
        optimizer.step()
        schedule.step()
    return model


def top1(model: Classifiers, images: Images) -> list[float]:
    """Top-1 on the test images, in percent, one a seed."""
    model.eval()
    hits = torch.zeros(model.num_seeds)
    with torch.no_grad():
        for inputs, labels in images.test_batches(500):
            every = inputs.unsqueeze(1).expand(-1, model.num_seeds, -1, -1, -1)
            hits += (model(every).argmax(dim=2) == labels[:, None]).sum(dim=0)
    return (100 * hits / len(images.test)).tolist()
