"""Cross-path retrieval: does the same image look the same along different paths?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from pinas_mm.algorithms.heads import embedding_spread
from pinas_mm.algorithms.pinas import PiNAS
from pinas_mm.models.batch_norm import batch_statistics
from pinas_mm.space.paths import CrossPaths


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """Means over pairs of paths.

    Attributes:
        top1: share of images whose student embedding along path A is nearest to the same image's
            teacher embedding along path B, of all images'; A and B differ in every block. Chance
            is 1 / images.
        spread: of the student's embeddings (see
            :func:`~pinas_mm.algorithms.heads.embedding_spread`); near 0 when they have collapsed.
    """

    top1: float
    spread: float


def cross_path_retrieval(
    model: PiNAS, views: Sequence[torch.Tensor], num_pairs: int = 8, seed: int = 0
) -> Retrieval:
    """Measures a self-supervised model on held-out images.

    Batch norms use the statistics of the images given; nothing of the model changes.

    Args:
        model: the algorithm with student and teacher.
        views: two augmented, normalized views of the same N images, each (N, 3, H, W).
        num_pairs: pairs of paths to average over.
        seed: of the pairs drawn.
    """
    hits, spreads = [], []
    with batch_statistics(model):
        for number in range(num_pairs):
            path, other = CrossPaths()(model.backbone.space, seed, number)
            queries = model.embed(views[0], path)
            keys = model.teacher_embed(views[1], other)
            # Of equal similarities the first wins, so collapsed embeddings score like chance.
            nearest = (queries @ keys.T).argmax(dim=1)
            hits.append((nearest == torch.arange(len(keys), device=keys.device)).float().mean())
            spreads.append(embedding_spread(queries))
    return Retrieval(float(torch.stack(hits).mean()), float(torch.stack(spreads).mean()))
