"""Consistency losses between paths: the cross-path head and the pair heads it composes with."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_gather
from mmengine.model import BaseModule
from torch.nn import functional as F

from pinas_mm.errors import UserError
from pinas_mm.registry import MODELS


class InfoNCE(torch.autograd.Function):
    """Cross entropy of each query's positive against a queue of negatives.

    The gradients are computed in the forward pass, in float32 or better, so that nothing of the
    queue is kept for the backward pass: the queue may change in place right after, where autograd
    would need a copy of it each step.
    """

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, queries: torch.Tensor, keys: torch.Tensor, queue: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        positive = (queries * keys).sum(dim=1, keepdim=True)
        logits = torch.cat([positive, queries @ queue], dim=1).div_(temperature)
        log_probabilities = F.log_softmax(logits, dim=1)
        loss = -log_probabilities[:, 0].mean()
        slopes = log_probabilities.exp_()
        slopes[:, 0] -= 1
        slopes /= temperature * len(queries)
        for_queries = torch.addmm(slopes[:, :1] * keys, slopes[:, 1:], queue.T)
        ctx.save_for_backward(for_queries, slopes[:, :1] * queries)
        return loss

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: D102
        for_queries, for_keys = ctx.saved_tensors
        needs_queries, needs_keys = ctx.needs_input_grad[:2]
        return (
            grad * for_queries if needs_queries else None,
            grad * for_keys if needs_keys else None,
            None,
            None,
        )


@MODELS.register_module(name=["InfoNCEHead", "MeanTeacherHead"])
class InfoNCEHead(BaseModule):
    """InfoNCE of a query and its key against a queue of earlier keys (Pi-NAS, eq. 5; MoCo).

    Args:
        dim: length of an embedding.
        queue_size: keys the queue holds; new ones replace the oldest.
        temperature: of the softmax.
        init_cfg: mmengine's weight initialization; unused, the head has no weights.

    Attributes:
        queue: buffer of shape (dim, queue_size), saved with the checkpoint; starts with random
            unit vectors.
        queue_ptr: buffer of shape (1,): column that the next key takes.

    Raises:
        UserError: ``dim``, ``queue_size`` or ``temperature`` is not above 0, or one of the first
            two no whole number.
    """

    def __init__(
        self,
        dim: int = 128,
        queue_size: int = 49152,
        temperature: float = 0.2,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        whole = isinstance(dim, numbers.Integral) and isinstance(queue_size, numbers.Integral)
        real = isinstance(temperature, numbers.Real)
        if not (whole and real) or dim < 1 or queue_size < 1 or temperature <= 0:
            raise UserError(
                f"dim {dim!r}, queue_size {queue_size!r}, temperature {temperature!r}: all must be "
                "above 0, dim and queue_size whole numbers"
            )
        self.temperature = temperature
        self.queue: torch.Tensor
        self.queue_ptr: torch.Tensor
        self.register_buffer("queue", F.normalize(torch.randn(dim, queue_size), dim=0))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))

    def forward(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Mean loss of unit vectors of shape (N, dim), a query and its key in the same row."""
        with torch.autocast(queries.device.type, enabled=False):
            dtype = self.queue.dtype
            tensors = queries.to(dtype), keys.to(dtype), self.queue
            return InfoNCE.apply(*tensors, self.temperature)  # type: ignore[no-untyped-call]  # PyTorch's.

    @torch.no_grad()
    def update(self, keys: torch.Tensor) -> None:
        """Enqueues all ranks' keys, shape (N, dim) each, in rank order; wraps around.

        If there are more keys than the queue holds, the last ones are kept.
        """
        keys = torch.cat(all_gather(keys.to(self.queue.dtype).contiguous()))
        size = self.queue.shape[1]
        end = self.queue_ptr + len(keys)
        keys = keys[-size:]
        columns = torch.arange(-len(keys), 0, device=keys.device) + end
        self.queue.index_copy_(1, columns % size, keys.T)
        self.queue_ptr.copy_(end % size)


@MODELS.register_module()
class PiModelHead(BaseModule):
    """Squared distance of the two embeddings, no negatives (Pi-model; Laine and Aila, ICLR 2017).

    Used alone, it is satisfied by equal embeddings for all images: the collapse in the paper's
    ablation.
    """

    def forward(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Mean over rows of shape (N, dim), between 0 and 4 for unit vectors."""
        return (queries.float() - keys.float()).square().sum(dim=1).mean()

    def update(self, keys: torch.Tensor) -> None:
        """Nothing is remembered."""


@MODELS.register_module()
class CrossPathHead(BaseModule):
    """Pairs what the student saw along one path with what the teacher saw along another.

    Each path's queries are compared with the keys of every other path (Pi-NAS, eq. 3); the losses
    are summed over the paths and averaged over the partners. Then the mean of the paths' keys,
    not normalized again, goes to the pair head.

    Args:
        pair: the pair head or its config: InfoNCEHead, PiModelHead.
        cross: False compares each path's queries with its own keys (the paper's ablation without
            cross-path learning).
        init_cfg: mmengine's weight initialization; unused, the head has no weights.
    """

    def __init__(
        self, pair: dict[str, Any], cross: bool = True, init_cfg: dict[str, Any] | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.pair = MODELS.build(pair) if isinstance(pair, dict) else pair
        self.cross = cross

    def forward(
        self, queries: Sequence[torch.Tensor], keys: Sequence[torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Loss of one step.

        Args:
            queries, keys: one tensor of unit vectors, shape (N, dim), a path.

        Returns:
            ``loss``; for the log also ``similarity`` (mean cosine of the pairs compared) and
            ``spread`` (see :func:`embedding_spread`) of the first path's queries.

        Raises:
            UserError: ``cross`` with a single path.
        """
        if self.cross and len(queries) < 2:
            raise UserError(
                "CrossPathHead compares different paths, but the sampler gave one: set "
                "num_paths=2 or more, or cross=False"
            )
        losses, similarities = [], []
        for index, query in enumerate(queries):
            partners = [k for i, k in enumerate(keys) if (i != index) == self.cross]
            losses.append(sum(self.pair(query, key) for key in partners) / len(partners))
            similarities += [(query.detach() * key.detach()).sum(1).mean() for key in partners]
        self.pair.update(sum(key.detach() for key in keys) / len(keys))
        return dict(
            loss=sum(losses),
            similarity=sum(similarities) / len(similarities),
            spread=embedding_spread(queries[0].detach()),
        )


def embedding_spread(embeddings: torch.Tensor) -> torch.Tensor:
    """How far unit vectors (N, dim) spread: 1 where they fill the sphere, 0 where all are equal.

    The standard deviation of each coordinate, averaged, times sqrt(dim) (Chen and He, CVPR 2021,
    section 4.1).
    """
    return embeddings.float().std(dim=0).mean() * math.sqrt(embeddings.shape[1])
