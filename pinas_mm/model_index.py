"""The configs that come with the package, where ``mim`` and mmpretrain look for them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import wrapt

# In a clone these are links to the repository's configs and tools, in a wheel copies.
MIM = Path(__file__).parent / ".mim"


def register() -> None:
    """Makes our classifiers known to mmpretrain and our configs to mmengine, once these are loaded.

    ``mmpretrain.list_models('pinas*')`` and ``get_model`` find them by name; ``pinas_mm::NAME`` is
    a base for other configs where the package is installed from a wheel. Without the files, as
    where links cannot be made, nothing of ours is registered.
    """
    if _classifiers().is_file():
        wrapt.register_post_import_hook(_tell_mmpretrain, "mmpretrain")
    wrapt.register_post_import_hook(_tell_mmengine, "mmengine.config.utils")


def _tell_mmpretrain(mmpretrain: ModuleType) -> None:
    mmpretrain.apis.ModelHub.register_model_index(_classifiers(), config_prefix=MIM)


def _tell_mmengine(utils: ModuleType) -> None:
    if _classifiers().is_file():
        utils.MODULE2PACKAGE["pinas_mm"] = "pinas_mm"
    # By the distribution's name a base in `mmseg::` is not found where a fork brings the module,
    # and mmengine would install the original over it.
    utils.MODULE2PACKAGE["mmseg"] = "mmseg"


def _classifiers() -> Path:
    return MIM / "configs" / "imagenet" / "metafile.yml"
