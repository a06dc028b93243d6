"""The configs that come with the package, where ``mim`` and mmpretrain look for them."""

from __future__ import annotations

from pathlib import Path

from mmengine.config.utils import MODULE2PACKAGE
from mmpretrain.apis import ModelHub

# In a clone these are links to the repository's configs and tools, in a wheel copies.
MIM = Path(__file__).parent / ".mim"


def register() -> None:
    """Makes our classifiers known to mmpretrain and our configs to mmengine.

    ``mmpretrain.list_models('pinas*')`` and ``get_model`` find them by name; ``pinas_mm::NAME`` is
    a base for other configs where the package is installed from a wheel. Without the files, as
    where links cannot be made, nothing is registered.
    """
    classifiers = MIM / "configs" / "imagenet" / "metafile.yml"
    if classifiers.is_file():
        ModelHub.register_model_index(classifiers, config_prefix=MIM)
        MODULE2PACKAGE["pinas_mm"] = "pinas_mm"
