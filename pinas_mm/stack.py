"""Check of the installed stack, before anything of it is imported."""

from __future__ import annotations

from importlib import metadata

from packaging.specifiers import SpecifierSet

# What the tests have run with, as requirements/*.txt pin it; another version may import and then
# fail, or compute something else, deep inside a run.
TESTED = {
    "torch": "==2.8.*",
    "mmengine": "==0.10.*",
    "mmcv": "==2.1.*",
    "mmpretrain": "==1.2.*",
    "mmdet": "==3.3.*",
    "mmsegmentation": "==1.2.*",
    "numpy": ">=1.26,<2",
}


def check_stack() -> None:
    """Raises ImportError that names every package that is missing or untested, and the fix."""
    faults = []
    for package, tested in TESTED.items():
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            faults.append(f"{package} is missing")
            continue
        if not SpecifierSet(tested).contains(version, prereleases=True):
            faults.append(f"{package} is {version}, tested is {tested}")
    if faults:
        raise ImportError(
            f"pinas_mm cannot run on this stack: {'; '.join(faults)}. `make install` (or "
            "tools/install.sh VENV) builds one that works"
        )
