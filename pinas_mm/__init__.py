"""Pi-NAS for the OpenMMLab stack."""

from pinas_mm.stack import check_stack

__version__ = "0.1.0"

check_stack()

from pinas_mm import algorithms, engine, model_index, models  # noqa: E402
from pinas_mm.data import cache, loading, views  # noqa: E402
from pinas_mm.space import Arch, Candidate, SearchSpace  # noqa: E402
from pinas_mm.weights import checkpoint, initializers  # noqa: E402
from pinas_mm.weights.get_backbone import get_backbone  # noqa: E402

__all__ = [
    "Arch",
    "Candidate",
    "SearchSpace",
    "algorithms",
    "cache",
    "checkpoint",
    "engine",
    "get_backbone",
    "initializers",
    "loading",
    "models",
    "views",
]

model_index.register()
