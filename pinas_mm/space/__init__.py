"""What an architecture is, without torch: the search space, its paths, their costs."""

from pinas_mm.operations.base import BlockSpec
from pinas_mm.space.arch import SYMBOLS, Arch
from pinas_mm.space.space import PAPER_CANDIDATES, SearchSpace

__all__ = ["PAPER_CANDIDATES", "SYMBOLS", "Arch", "BlockSpec", "SearchSpace"]
