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
    "SearchSpace": "space",
    "get_backbone": "weights.get_backbone",
}
_ROOMS = ("algorithms", "data", "engine", "export", "models", "operations", "search", "space")

__all__ = ["Arch", "SearchSpace", "get_backbone"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f"pinas_mm.{_PUBLIC[name]}"), name)
    if name in _ROOMS:
        return import_module(f"pinas_mm.{name}")
    raise AttributeError(f"module 'pinas_mm' has no attribute {name!r}")


model_index.register()
safe_loading.register()
