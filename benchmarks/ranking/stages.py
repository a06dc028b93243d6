"""All stages' features as one vector, for a probe that sees more than the last."""

from __future__ import annotations

import torch
from mmpretrain.registry import MODELS
from torch import nn


@MODELS.register_module()
class PooledStages(nn.Module):
    """Global means of every feature map, side by side.

    ``forward`` takes feature maps (N, C_i, H_i, W_i) of any number of stages and returns a tuple of
    one tensor (N, sum of C_i).
    """

    def forward(self, feats: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        """See the class."""
        return (torch.cat([feat.mean(dim=(2, 3)) for feat in feats], dim=1),)
