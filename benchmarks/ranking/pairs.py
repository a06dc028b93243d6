"""Pairs of two images of one class in place of two views of one image: what labels add to Pi-NAS.

An experiment of the benchmark: all else is as without labels.
"""

from __future__ import annotations

from typing import Any

import torch

from pinas_mm.data.views import ViewsPreprocessor
from pinas_mm.registry import MODELS


def next_of_class(labels: torch.Tensor) -> torch.Tensor:
    """For each place of a batch the place of another image of its class.

    Args:
        labels: classes, shape (N,).

    Returns:
        Places, shape (N,), each once; an image that is the only one of its class has its own.
    """
    order = labels.argsort(stable=True)
    partner = torch.empty_like(order)
    for places in order.split(labels.unique(return_counts=True)[1].tolist()):
        partner[places] = places.roll(1)
    return partner


@MODELS.register_module()
class ClassPairsPreprocessor(ViewsPreprocessor):
    """The teacher sees another image of the class than the student does."""

    def training_batch(self, data: dict[str, Any], seed: int, iteration: int) -> dict[str, Any]:
        """Views of a step; every second one, the teacher's, is of the other images."""
        made = super().training_batch(data, seed, iteration)
        labels = torch.cat([sample.gt_label for sample in data["data_samples"]])
        partner = next_of_class(labels).to(self.mean.device)
        made["inputs"][1::2] = [view[partner] for view in made["inputs"][1::2]]
        return made
