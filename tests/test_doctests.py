"""The examples of docstrings run, and give what they say."""

import copy
import dataclasses
import doctest
import importlib

import pytest
import torch
from conftest import REPOSITORY
from torch import nn
from torch.nn import functional as F

import pinas_mm
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.registry import COSTS, OPERATIONS

# Their examples take a trained model; tests of the documentation and of their own run the same.
AFTER_A_TRAINING = {
    "pinas_mm.engine.api",
    "pinas_mm.export.whole_model",
    "pinas_mm.search.interactive",
    "pinas_mm.search.report.shown",
}
WITH_EXAMPLES = sorted(
    {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        for path in (REPOSITORY / "pinas_mm").rglob("*.py")
        if ".mim" not in path.parts and ">>>" in path.read_text()
    }
    - AFTER_A_TRAINING
)


@pytest.fixture
def given(monkeypatch):
    """What examples take for granted; what they register is gone afterwards."""
    for registry in (COSTS, OPERATIONS):
        registry.import_from_location()
        monkeypatch.setattr(registry, "_module_dict", copy.copy(registry.module_dict))
    return dict(
        pinas_mm=pinas_mm,
        torch=torch,
        nn=nn,
        F=F,
        dataclasses=dataclasses,
        PiNASBackbone=PiNASBackbone,
        COSTS=COSTS,
        OPERATIONS=OPERATIONS,
        network=nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)),
        images=torch.ones(2, 3, 32, 32),
        labels=torch.tensor([0, 1]),
    )


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name, given):
    module = importlib.import_module(name)
    if name == "pinas_mm.models.supernet":
        given["supernet"] = PiNASSupernet().eval()
    done = doctest.testmod(module, extraglobs=given, report=False)
    assert done.attempted
    assert not done.failed
