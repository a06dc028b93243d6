"""The backbone's benchmark: the same features as other libraries' ResNeSt-50, and its ratios."""

import importlib
import json
import subprocess
import sys

import pytest
import torch
from conftest import REPOSITORY

FORMS = ["eager", "folded"]
NETWORKS = ["all_1", "pinas_cls", "pinas_trans", "mmpretrain", "timm"]


@pytest.fixture
def backbone(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    return importlib.import_module("backbone")


def test_all_1_is_resnest_50_and_other_weights_are_not(backbone, monkeypatch):
    different = backbone.check_same(64)
    assert set(different) == {"mmpretrain", "timm"}
    # Both add up in another order.
    assert 0 < min(different.values()) <= max(different.values()) < 1e-5
    built = backbone.network

    def scaled(name):
        made = built(name)
        if name == "timm":
            made.layer4[2].bn3.weight.mul_(1.001)
        return made

    monkeypatch.setattr(backbone, "network", scaled)
    with pytest.raises(backbone.UserError, match="timm's ResNeSt-50 differs from ours"):
        backbone.check_same(64)


@pytest.mark.parametrize("name", ["all_1", "timm"])
def test_forms_compute_the_same(backbone, name):
    images = torch.randn(2, 3, 64, 32)
    wanted = backbone.network(name)(images)
    for kind in ("folded", "onnx"):
        found = backbone.form(name, kind, "float32")(images)
        for a, b in zip(found, wanted, strict=True):
            bound = 1e-4 * b.abs().max().item()
            torch.testing.assert_close(torch.as_tensor(a), b, rtol=0, atol=bound)


def test_ratios_compare_minima_with_the_faster_peer(backbone):
    times = {(name, kind): [4.0, 9.0, 5.0] for name in NETWORKS for kind in ("eager", "folded")}
    times[("timm", "eager")] = [8.0, 3.0, 3.5]
    times[("all_1", "folded")] = [2.0, 7.0, 8.0]
    cell = backbone._cell("float32", (1, 8, 9), times)
    assert cell["ratios"] == {"eager": 0.75, "folded": 2.0, "folded against eager": 1.5}
    assert cell["ms"]["eager"]["timm"] == dict(min=3.0, median=3.5)
    assert [cell[key] for key in ("dtype", "batch", "height", "width")] == ["float32", 1, 8, 9]


def test_small_run(tmp_path):
    out = tmp_path / "out.json"
    command = [sys.executable, REPOSITORY / "benchmarks" / "backbone.py", "--out", out]
    options = ["--sizes", "32x64", "--batches", "1", "--rounds", "2", "--threads", "1"]
    options += ["--forms", *FORMS]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(out.read_text())
    assert found["command"] == " ".join(["benchmarks/backbone.py", "--out", str(out), *options])
    cell = found["cells"][0]
    assert list(cell["ms"]) == FORMS
    for row in cell["ms"].values():
        assert list(row) == NETWORKS
        assert all(0 < one["min"] <= one["median"] for one in row.values())
