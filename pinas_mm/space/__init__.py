"""What an architecture is: the search space, its paths, their costs."""

from pinas_mm.space.arch import SYMBOLS, Arch
from pinas_mm.space.space import PAPER_CANDIDATES, BlockSpec, Candidate, SearchSpace

__all__ = ["PAPER_CANDIDATES", "SYMBOLS", "Arch", "BlockSpec", "Candidate", "SearchSpace"]
