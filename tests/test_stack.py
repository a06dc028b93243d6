"""The check of the installed stack: what is broken is refused, what is untested is said once."""

import os
import re
import subprocess
import sys
import warnings
from importlib import metadata

import pytest
from conftest import REPOSITORY
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pinas_mm import stack
from pinas_mm.errors import UserError

STACKS = ("default", "classic", "forks")
FOR_ALL = ("torch", "numpy", "mmengine", "mmcv", "mmpretrain", "mmdet", "mmseg")


def pins(name: str) -> dict[str, str]:
    text = (REPOSITORY / "constraints" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([\w-]+)==([\d.]+)", text, flags=re.MULTILINE))


def requirements(*names: str) -> dict[str, Requirement]:
    lines = "".join((REPOSITORY / "requirements" / f"{name}.txt").read_text() for name in names)
    parsed = [Requirement(line.partition("#")[0]) for line in lines.splitlines()]
    return {one.name: one for one in parsed}


@pytest.fixture
def installed(monkeypatch):
    """Makes the check see other versions than are installed; None is not installed."""
    versions = {"torch": "2.8.0+cu128", "numpy": "1.26.4", "setuptools": "69.5.1"}
    versions |= {"mmengine": "0.10.7", "mmcv": "2.1.0", "mmpretrain": "1.2.0"}
    monkeypatch.setattr(stack, "version_of", lambda name: versions.get(name))
    monkeypatch.delenv(stack.TOLD, raising=False)

    def change(**others: str | None) -> None:
        versions.update({name.replace("_", "-"): version for name, version in others.items()})

    return change


def test_the_installed_stack_passes(monkeypatch):
    monkeypatch.delenv(stack.TOLD, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack.check_stack()


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        (dict(torch=None), "torch is missing"),
        (dict(mmcv=None), "mmcv is missing, which is compiled for one torch"),
        (dict(torch="2.0.1"), "torch is 2.0.1: checkpoints cannot be mapped"),
        (
            dict(torch="2.2.2+cu121", numpy="2.0.0"),
            "numpy is 2.0.0 beside torch 2.2.2+cu121: before 2.3 torch is built for NumPy 1",
        ),
        (dict(mmcv="2.2.0", mmdet="3.3.0"), "mmcv is 2.2.0 beside mmdet 3.3.0: mmdet refuses"),
        (dict(mmcv="2.2.0", mmsegmentation="1.2.2"), "beside mmsegmentation 1.2.2: mmseg refuses"),
        (
            dict(setuptools="82.0.0"),
            "setuptools is 82.0.0 beside mmengine 0.10.7: mmengine imports",
        ),
        (dict(onedl_mmcv="2.3.6"), "mmcv and onedl-mmcv overwrite each other"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(installed, versions, said):
    installed(**versions)
    with pytest.raises(ImportError, match=re.escape(said)) as caught:
        stack.check_stack()
    assert "make install" in str(caught.value)
    assert str(caught.value).count(";") == 0


def test_every_fault_is_named(installed):
    installed(numpy=None, mmpretrain="0.9.0", mmengine="0.8.0")
    with pytest.raises(ImportError, match=r"numpy is missing; mmpretrain is 0\.9\.0"):
        stack.check_stack()


@pytest.mark.parametrize(
    "versions",
    [
        dict(mmcv=None, onedl_mmcv="2.3.6", mmengine=None, onedl_mmengine="0.10.12"),
        dict(mmdet="3.3.0", mmsegmentation="1.2.2"),
        dict(mmcv=None, mmcv_lite="2.1.0"),
        dict(torch="2.1.2+cu121"),
        dict(numpy="2.2.6"),
    ],
)
def test_the_stacks_pass_silently(installed, versions):
    installed(**versions)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack.check_stack()


def test_untested_versions_are_said_once(installed):
    installed(torch="2.5.1")
    said = "torch is 2.5.1, tested is ==2.1.* and ==2.8.*"
    with pytest.warns(stack.StackWarning, match=re.escape(said)):
        stack.check_stack()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack.check_stack()


def test_an_import_says_it_once_for_all_processes():
    code = (
        "import subprocess, sys; from importlib import metadata as m; real = m.version;"
        "m.version = lambda name: '2.5.1' if name == 'torch' else real(name);"
        "import pinas_mm; sys.argv[1:] and subprocess.run([sys.executable, *sys.orig_argv[1:-1]])"
    )
    environment = {name: value for name, value in os.environ.items() if name != stack.TOLD}
    done = subprocess.run(
        [sys.executable, "-c", code, "again"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.count("StackWarning: pinas_mm is not tested on this stack: torch") == 1


@pytest.mark.parametrize("name", STACKS)
def test_pins_are_tested_versions_within_the_requirements(name):
    pinned = pins(name)
    allowed = requirements("torch", "mmcv", "runtime", "det", "seg")
    for package in FOR_ALL[:1] + FOR_ALL[2:]:
        (distribution,) = set(stack.BROUGHT_BY[package]) & set(pinned)
        version = pinned[distribution]
        assert any(version in SpecifierSet(tested) for tested in stack.TESTED[distribution])
        if distribution in allowed:
            assert version in allowed[distribution].specifier
    assert pinned["torchvision"] in allowed["torchvision"].specifier


def test_a_users_torch_of_any_minor_version_stays():
    torch = requirements("torch")["torch"].specifier
    assert all(f"2.{minor}.1+cu121" in torch for minor in range(1, 9))


def test_extras_bring_what_they_are_for():
    names = {"mmseg": "mmsegmentation", "sklearn": "scikit-learn", "jinja2": "Jinja2"}
    for module, extra in stack.EXTRAS.items():
        assert names.get(module, module) in requirements(extra)
        assert names.get(module, module) not in requirements("torch", "runtime")


def test_what_is_missing_names_its_extra(monkeypatch):
    stack.needs("mmdet", what="a detector")
    monkeypatch.setattr(stack, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"a detector needs mmdet, .*: pip install \"pinas_mm\[det]"
    ):
        stack.needs("mmdet", what="a detector")
    with pytest.raises(UserError, match=r"mmseg and mmdet, .*pinas_mm\[det,seg\]"):
        stack.needs("mmseg", "mmdet", what="both")


def test_versions_of_what_is_not_installed():
    assert stack.version_of("package-that-nobody-has") is None
    assert stack.version_of("torch") == metadata.version("torch")
