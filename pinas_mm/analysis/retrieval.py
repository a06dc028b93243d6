"""Cross-path retrieval: does the same image look the same along different paths?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from mmengine.dist import all_gather_object
from torch import nn

from pinas_mm.algorithms.heads import embedding_spread
from pinas_mm.algorithms.pinas import PiNAS
from pinas_mm.algorithms.teacher import embed
from pinas_mm.long_work import LongWork
from pinas_mm.models.batch_norm import Statistics, modes_kept
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.space import Arch
from pinas_mm.space.paths import CrossPaths


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """Means over pairs of paths.

    Attributes:
        top1: share of images whose student embedding along path A is nearest to the same image's
            teacher embedding along path B, of all images'; A and B differ in every block. Chance
            is 1 / images.
        spread: how far the student's embeddings spread (see
            :func:`~pinas_mm.algorithms.heads.embedding_spread`); near 0 when they have collapsed.
    """

    top1: float
    spread: float


def cross_path_retrieval(
    model: PiNAS, views: Sequence[Sequence[torch.Tensor]], num_pairs: int = 8, seed: int = 0
) -> Retrieval:
    """Measures a self-supervised model on held-out images.

    Batch norms use the statistics of the images given, recomputed for each path; nothing of the
    model changes. In a distributed run each rank has a part of the images, and all get the result
    over all of them.

    Args:
        model: the algorithm with student and teacher.
        views: batches of two augmented, normalized views of the same images, each (N, C, H, W).
        num_pairs: pairs of paths to average over.
        seed: seeds the pairs drawn.
    """
    hits, spreads, progress = [], [], LongWork("retrieval, pairs of paths", num_pairs)
    for number in range(num_pairs):
        path, other = CrossPaths()(model.backbone.space, seed, number)
        queries = _embedded((model.backbone, model.neck), [batch[0] for batch in views], path)
        keys = _embedded(model.teacher_networks, [batch[1] for batch in views], other)
        # Of equal similarities the first wins, so collapsed embeddings score like chance.
        nearest = (queries @ keys.T).argmax(dim=1)
        hits.append((nearest == torch.arange(len(keys))).float().mean())
        spreads.append(embedding_spread(queries))
        progress.step()
    return Retrieval(float(torch.stack(hits).mean()), float(torch.stack(spreads).mean()))


def _embedded(
    network: tuple[PiNASSupernet, nn.Module], batches: Sequence[torch.Tensor], arch: Arch
) -> torch.Tensor:
    """Unit embeddings of all ranks' images, on the CPU."""
    module = nn.ModuleList(network)

    def run(images: torch.Tensor) -> torch.Tensor:
        return embed(*network, images, arch)

    with modes_kept(module), Statistics(module, run, batches).applied(), torch.no_grad():
        module.eval()
        own = torch.cat([run(images) for images in batches]).float().cpu()
    return torch.cat(all_gather_object(own))
