"""The check of the installed stack names every fault at once."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from pinas_mm import stack

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"


def test_the_installed_stack_passes():
    stack.check_stack()


def test_every_missing_and_untested_package_is_named(monkeypatch):
    monkeypatch.setitem(stack.TESTED, "torch", "==0.1.*")
    monkeypatch.setitem(stack.TESTED, "package-that-nobody-has", ">=1")
    with pytest.raises(ImportError) as caught:
        stack.check_stack()
    message = str(caught.value)
    assert "package-that-nobody-has is missing" in message
    assert f"torch is {metadata.version('torch')}, tested is ==0.1.*" in message
    assert "make install" in message
    assert "mmcv" not in message


def test_the_pinned_requirements_are_tested_versions():
    pins = {}
    for file in REQUIREMENTS.glob("*.txt"):
        pins.update(re.findall(r"^(\w+)==([\d.]+)", file.read_text(), flags=re.MULTILINE))
    checked = set(pins) & set(stack.TESTED)
    assert checked == {"torch", "mmengine", "mmcv", "mmpretrain", "mmdet", "mmsegmentation"}
    for package in checked:
        assert SpecifierSet(stack.TESTED[package]).contains(pins[package])
