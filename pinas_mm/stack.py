"""Check of the installed stack, before anything of it is imported, and what its parts are for."""

from __future__ import annotations

import os
import warnings
from importlib import metadata
from importlib.util import find_spec
from typing import NamedTuple

from packaging.specifiers import SpecifierSet

from pinas_mm.errors import UserError

# What has been built and run, as constraints/*.txt pin it; another version may import and then
# fail, or compute something else, deep inside a run.
TESTED = {
    "torch": ("==2.1.*", "==2.8.*"),
    "mmengine": ("==0.10.*",),
    "onedl-mmengine": ("==0.10.*",),
    "mmcv": ("==2.1.*",),
    "onedl-mmcv": ("==2.3.*",),
    "mmpretrain": ("==1.2.*",),
    "onedl-mmpretrain": ("==1.3.*",),
    "mmdet": ("==3.3.*",),
    "onedl-mmdetection": ("==3.5.*",),
    "mmsegmentation": ("==1.2.*",),
    "onedl-mmsegmentation": ("==1.4.*",),
    "numpy": ("==1.26.*", "==2.2.*"),
}
# A package -> the distributions that bring it, the original first.
BROUGHT_BY = {
    "torch": ("torch",),
    "numpy": ("numpy",),
    "mmengine": ("mmengine", "onedl-mmengine"),
    "mmcv": ("mmcv", "onedl-mmcv", "mmcv-lite"),
    "mmpretrain": ("mmpretrain", "onedl-mmpretrain"),
    "mmdet": ("mmdet", "onedl-mmdetection"),
    "mmseg": ("mmsegmentation", "onedl-mmsegmentation"),
}
# Modules that come with an extra, `pip install pinas_mm[EXTRA]`.
EXTRAS = {
    "mmdet": "det",
    "pycocotools": "det",
    "mmseg": "seg",
    "ftfy": "seg",
    "regex": "seg",
    "optuna": "search",
    "sklearn": "search",
    "threadpoolctl": "search",
    "jinja2": "search",
    "onnx": "deploy",
    "onnxruntime": "deploy",
}
# Of these versions it has been said once, to this process and those that it starts.
TOLD = "PINAS_MM_STACK_TOLD"


class StackWarning(UserWarning):
    """The installed versions are none that the tests have run with."""


class Broken(NamedTuple):
    """Versions that are known not to work, alone or beside those of another distribution."""

    name: str
    versions: str
    reason: str
    beside: str = ""
    their_versions: str = ""


BROKEN = (
    Broken("torch", "<2.1", "checkpoints cannot be mapped, nor accumulated gradients hooked"),
    Broken("numpy", ">=2", "before 2.3 torch is built for NumPy 1", "torch", "<2.3"),
    Broken("mmcv", ">=2.2", "mmdet refuses mmcv 2.2 and newer", "mmdet", "<=3.3"),
    Broken("mmcv", ">=2.2", "mmseg refuses mmcv 2.2 and newer", "mmsegmentation", "<=1.2.2"),
    Broken("mmcv", "<2", "the registries of all OpenMMLab packages changed with 2.0"),
    Broken("mmengine", "<0.8.3", "mmpretrain refuses it", "mmpretrain", ">=1.1"),
    Broken("mmpretrain", "<1", "its registries and configs are others"),
    Broken("setuptools", ">=82", "mmengine imports pkg_resources of it", "mmengine", "<=0.10.7"),
)
HELP = "`make install` (or tools/install.sh VENV) builds a stack that works"


def check_stack() -> None:
    """Looks at the versions of what is installed.

    Warns once of versions that the tests have not run with (:class:`StackWarning`).

    Raises:
        ImportError: a package is missing, is there twice, or is of a version that is known not to
            work; names each of them, and the fix.
    """
    found: dict[str, str] = {}
    faults = []
    for package, distributions in BROUGHT_BY.items():
        here = {name: version for name in distributions if (version := version_of(name))}
        found |= here
        if len(here) > 1:
            faults.append(f"{' and '.join(here)} overwrite each other: uninstall both, install one")
        if not here and package not in EXTRAS:
            faults.append(_missing(package))
    faults += [_reason(broken) for broken in BROKEN if _applies(broken, found)]
    if faults:
        raise ImportError(f"pinas_mm cannot run on this stack: {'; '.join(faults)}. {HELP}")
    untested = [
        f"{name} is {version}, tested is {' and '.join(TESTED[name])}"
        for name, version in found.items()
        if name in TESTED and not any(_fits(version, versions) for versions in TESTED[name])
    ]
    said = "; ".join(untested)
    if untested and os.environ.get(TOLD) != said:
        os.environ[TOLD] = said
        warnings.warn(f"pinas_mm is not tested on this stack: {said}. {HELP}", StackWarning, 3)


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def needs(*modules: str, what: str) -> None:
    """Refuses to go on without modules that an extra brings.

    Args:
        modules: of :data:`EXTRAS`.
        what: needs them.

    Raises:
        UserError: one is not installed; names the extra.

    Example:
        >>> needs('mmdet', what='a Mask R-CNN')
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UserError(
            f"{what} needs {' and '.join(missing)}, which is not installed: {_install(missing)}"
        )


def extra_hint(error: BaseException) -> str:
    """What to install where a module is missing that an extra brings; empty for other errors."""
    if not isinstance(error, ModuleNotFoundError):
        return ""
    # mmengine's own errors, of bases in `mmdet::`, begin with the name.
    module = (error.name or str(error).partition(" ")[0]).partition(".")[0]
    return f"; {_install([module])}" if module in EXTRAS else ""


def _install(modules: list[str]) -> str:
    extras = ",".join(sorted({EXTRAS[name] for name in modules}))
    return f'pip install "pinas_mm[{extras}]" (in a clone ".[{extras}]")'


def _missing(package: str) -> str:
    if package == "mmcv":
        return (
            "mmcv is missing, which is compiled for one torch and not a requirement therefore "
            "(mim install 'mmcv>=2.0.1,<2.2', or for classifiers alone pip install mmcv-lite)"
        )
    return f"{package} is missing"


def _applies(broken: Broken, found: dict[str, str]) -> bool:
    def has(name: str, versions: str) -> bool:
        version = found.get(name) or version_of(name)
        return version is not None and _fits(version, versions)

    return has(broken.name, broken.versions) and (
        not broken.beside or has(broken.beside, broken.their_versions)
    )


def _reason(broken: Broken) -> str:
    beside = f" beside {broken.beside} {version_of(broken.beside)}" if broken.beside else ""
    return f"{broken.name} is {version_of(broken.name)}{beside}: {broken.reason}"


def _fits(version: str, versions: str) -> bool:
    return SpecifierSet(versions).contains(version, prereleases=True)
