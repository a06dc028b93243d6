"""Pi-NAS for the OpenMMLab stack.

Importing the package checks the stack and loads nothing of it: registries import what is registered
in them when something is looked up, and the names below are imported when they are used.
"""

from importlib import import_module
from typing import Any

from pinas_mm.stack import check_stack

__version__ = "0.1.0"

check_stack()

from pinas_mm import model_index  # noqa: E402
from pinas_mm.weights import safe_loading  # noqa: E402

# Where the names come from that `pinas_mm.` offers.
_PUBLIC = {
    "Arch": "space",
    "PiNASBackbone": "models",
    "PiNASSupernet": "models",
    "SearchSpace": "space",
    "count_costs": "models.cost",
    "export_subnet": "engine.api",
    "get_backbone": "weights.get_backbone",
    "init_model": "engine.api",
    "read_config": "engine.config",
    "train": "engine.api",
}
_ROOMS = ("algorithms", "data", "engine", "export", "models", "operations", "search", "space")

__all__ = [
    "Arch",
    "PiNASBackbone",
    "PiNASSupernet",
    "SearchSpace",
    "count_costs",
    "export_subnet",
    "get_backbone",
    "init_model",
    "read_config",
    "search",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f"pinas_mm.{_PUBLIC[name]}"), name)
    if name in _ROOMS:
        return import_module(f"pinas_mm.{name}")
    raise AttributeError(f"module 'pinas_mm' has no attribute {name!r}")


model_index.register()
safe_loading.register()
