"""A training step of Pi-NAS as one would write it first after the paper, with PyTorch's own parts.

Images are augmented one by one with torchvision, the teacher follows parameter by parameter, the
logits of a copied queue are concatenated, split attention is the sum of a stack; layouts and
optimizer are what PyTorch gives unasked. Stem, blocks and neck are the modules of pinas_mm with
their weights, so that both sides train the same network, but run as plain convolutions.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.transforms import v2

from pinas_mm.algorithms import PiNAS
from pinas_mm.models.pointwise import PointwiseConv
from pinas_mm.operations.split_attention import SplitAttention
from pinas_mm.space import Arch


class PlainSplitAttention(SplitAttention):
    """The weighted sum over the splits, written as ResNeSt's paper has it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, width, H, W) to (N, width, H, W)."""
        x = self.relu(self.bn0(self.conv(x)))
        splits = x.view(len(x), self.radix, -1, *x.shape[2:])
        pooled = splits.sum(dim=1).mean(dim=(2, 3), keepdim=True)
        weights = self.fc2(self.relu(self.bn1(self.fc1(pooled))))
        if self.radix == 1:
            return x * torch.sigmoid(weights)
        weights = weights.view(len(x), self.groups, self.radix, -1).transpose(1, 2)
        weights = F.softmax(weights, dim=1).reshape(len(x), self.radix, -1, 1, 1)
        return (splits * weights).sum(dim=1)


class PlainStep:
    """Student, teacher, queue and optimizer.

    Args:
        model: whose modules, weights and settings are taken; it is copied.
        optimizer: config of PyTorch's optimizer.
        precision: what autocast computes in; float32 is none.
    """

    def __init__(self, model: PiNAS, optimizer: dict[str, Any], precision: torch.dtype) -> None:
        self.backbone, self.neck = plain(model.backbone), plain(model.neck)
        self.teacher_backbone = plain(model.teacher.backbone)
        self.teacher_neck = plain(model.teacher.neck)
        self.momentum = model.teacher.momentum
        self.queue, self.end = model.head.pair.queue.clone(), 0
        self.temperature = model.head.pair.temperature
        self.num_views = model.data_preprocessor.num_views
        self.transform = views_of(model)
        self.precision, self.device = precision, self.queue.device
        options = {
            name: value for name, value in optimizer.items() if name not in ("type", "fused")
        }
        kind = getattr(torch.optim, optimizer["type"].removeprefix("pinas_mm."))
        parameters = [*self.backbone.parameters(), *self.neck.parameters()]
        self.optimizer = kind(parameters, foreach=False, **options)

    def step(self, inputs: Sequence[torch.Tensor], paths: Sequence[Arch]) -> torch.Tensor:
        """One step.

        Args:
            inputs: a batch of uint8 images (N, 3, H, W), or one for each view.
            paths: two.
        """
        crops = list(inputs) if len(inputs) == self.num_views else [inputs[0]] * self.num_views
        views = [torch.stack([self.transform(image) for image in crop]) for crop in crops]
        enabled = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision, enabled=enabled):
            loss = self.loss([view.to(self.device) for view in views], paths)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def loss(self, views: Sequence[torch.Tensor], paths: Sequence[Arch]) -> torch.Tensor:
        """The loss of views; moves teacher and queue."""
        queries, keys = [], []
        for number, arch in enumerate(paths):
            queries.append(embed(self.backbone, self.neck, views[2 * number], arch))
            with torch.no_grad():
                self.move_teacher(arch)
                key = embed(self.teacher_backbone, self.teacher_neck, views[2 * number + 1], arch)
                keys.append(key)
        loss = self.contrast(queries[0], keys[1]) + self.contrast(queries[1], keys[0])
        self.enqueue((keys[0] + keys[1]) / 2)
        return loss

    def move_teacher(self, arch: Arch) -> None:
        """Parameter by parameter."""
        olds = [*self.teacher_backbone.path_modules(arch), self.teacher_neck]
        news = [*self.backbone.path_modules(arch), self.neck]
        for old, new in zip(olds, news, strict=True):
            for p, q in zip(old.parameters(), new.parameters(), strict=True):
                p.data = p.data * self.momentum + q.data * (1 - self.momentum)

    def contrast(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """InfoNCE as in MoCo's pseudocode."""
        positive = torch.einsum("nc,nc->n", queries, keys).unsqueeze(1)
        negative = torch.einsum("nc,ck->nk", queries, self.queue.clone().detach())
        logits = torch.cat([positive, negative], dim=1) / self.temperature
        return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long).to(self.device))

    def enqueue(self, keys: torch.Tensor) -> None:
        """The oldest make room."""
        size = self.queue.shape[1]
        for key in keys:
            self.queue[:, self.end] = key
            self.end = (self.end + 1) % size


def plain(module: nn.Module) -> nn.Module:
    """A copy in PyTorch's default layout, of plain convolutions."""
    module = copy.deepcopy(module).to(memory_format=torch.contiguous_format)
    swaps = {PointwiseConv: nn.Conv2d, SplitAttention: PlainSplitAttention}
    for part in module.modules():
        part.__class__ = swaps.get(type(part), type(part))
    return module.train()


def embed(backbone: nn.Module, neck: nn.Module, x: torch.Tensor, arch: Arch) -> torch.Tensor:
    """Unit vectors (N, dim) of images along a path."""
    for module in backbone.stem_modules:
        x = module(x)
    for number, choice in enumerate(arch):
        x = backbone.block(number)[choice](x)
    return F.normalize(neck((x,))[0], dim=1)


def views_of(model: PiNAS) -> v2.Compose:
    """The preprocessor's views of an image (3, H, W), of uint8."""
    made, a = model.data_preprocessor, model.data_preprocessor.augment
    colors = v2.ColorJitter(a.brightness, a.contrast, a.saturation, a.hue)
    return v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            *([v2.RandomResizedCrop(a.size, a.scale, a.ratio)] if a.size else []),
            v2.RandomHorizontalFlip(a.flip),
            v2.RandomApply([colors], a.jitter),
            v2.RandomGrayscale(a.gray),
            *([v2.RandomApply([v2.GaussianBlur(13, a.blur_sigma)], a.blur)] if a.blur else []),
            v2.Normalize(made.mean.flatten().tolist(), made.std.flatten().tolist()),
        ]
    )
