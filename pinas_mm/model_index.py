"""The configs that come with the package, where ``mim``, mmpretrain and mmengine look for them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import wrapt

PACKAGE = Path(__file__).resolve().parent
# In a clone these are links to the repository's configs and tools, in a wheel copies.
MIM = PACKAGE / ".mim"
# What holds configs/ and tools/: the clone, or what a wheel carries of it.
REPOSITORY = next(
    (root for root in (PACKAGE.parent, MIM) if (root / "configs/_base_/pinas.py").is_file()), MIM
)


def register() -> None:
    """Makes our classifiers known to mmpretrain and our configs to mmengine, once these are loaded.

    ``mmpretrain.list_models('pinas*')`` and ``get_model`` find them by name; ``pinas_mm::NAME`` is
    a base for other configs, from a wheel and from an editable install. Without the files, as where
    links cannot be made, nothing of ours is registered.
    """
    if _classifiers().is_file():
        wrapt.register_post_import_hook(_tell_mmpretrain, "mmpretrain")
        for module in ("mmengine.config.config", "mmengine.hub.hub"):
            wrapt.register_post_import_hook(_find_ours, module)
    wrapt.register_post_import_hook(_tell_mmengine, "mmengine.config.utils")


def _tell_mmpretrain(mmpretrain: ModuleType) -> None:
    mmpretrain.apis.ModelHub.register_model_index(_classifiers(), config_prefix=MIM)


def _tell_mmengine(utils: ModuleType) -> None:
    if _classifiers().is_file():
        utils.MODULE2PACKAGE["pinas_mm"] = "pinas_mm"
    # By the distribution's name a base in `mmseg::` is not found where a fork brings the module,
    # and mmengine would install the original over it.
    utils.MODULE2PACKAGE["mmseg"] = "mmseg"


def _find_ours(module: ModuleType) -> None:
    """mmengine wants a folder before a config's name, and knows no editable install's place."""
    for name, ours in (("_get_package_and_cfg_path", _split), ("get_installed_path", _place)):
        setattr(module, name, functools.partial(ours, getattr(module, name)))
    if hasattr(module, "Config"):
        find = functools.partial(_unscoped, module.Config._get_cfg_path)
        module.Config._get_cfg_path = staticmethod(find)


def _unscoped(
    theirs: Callable[[str, str], tuple[str, str | None]], name: str, file: str
) -> tuple[str, str | None]:
    """Our configs name what is ours by its scope: all else in them is their default scope's."""
    path, scope = theirs(name, file)
    return path, None if scope == PACKAGE.name else scope


def _split(theirs: Callable[[str], tuple[str, str]], name: str) -> tuple[str, str]:
    package, _, path = name.partition("::")
    return (package, path) if package == PACKAGE.name else theirs(name)


def _place(theirs: Callable[[str], str], package: str) -> str:
    return str(PACKAGE) if package == PACKAGE.name else theirs(package)


def _classifiers() -> Path:
    return MIM / "configs" / "imagenet" / "metafile.yml"
