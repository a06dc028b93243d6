"""The label-free score against what many partners see together."""

from __future__ import annotations

from typing import Any

from torch.nn import functional as F

from pinas_mm.registry import SCORES
from pinas_mm.search.evaluation.scores import CrossPathScore


@SCORES.register_module()
class ConsensusScore(CrossPathScore):
    """Cross-path loss against one key an image: the partners' mean, of length 1."""

    def begin(self, *args: Any) -> None:
        """The partners' keys, and what they have in common."""
        super().begin(*args)
        self._keys = F.normalize(self._keys.mean(dim=0, keepdim=True), dim=2)
