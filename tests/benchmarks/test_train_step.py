"""The step's benchmark: the plain version trains the same, the floor is all convolutions."""

import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "benchmarks"))

import growth
import train_step
from plain_step import PlainStep
from train_step import FILES, Floor, Ours, Plain

SIZE = 32, 8, "float32"


def config():
    """The small one's, with all four of the paper's operations and its own first."""
    made = Config.fromfile(FILES["small"])
    candidates = [*made.model.backbone.space.candidates, (1, 1, 64), (1, 2, 48), (2, 2, 32)]
    made.model.backbone.space.candidates = candidates
    return made


@pytest.mark.parametrize("paths", [("0123", "4560"), ("4444", "5555"), ("6666", "0000")])
def test_the_plain_version_computes_the_same_loss_and_gradients(paths):
    ours = Ours(config(), *SIZE)
    model = ours.model
    # At the start all blocks are their shortcuts.
    for parameter in model.backbone.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    model.teacher.copy_student(model.backbone, model.neck)
    plain = PlainStep(model, dict(type="SGD", lr=0.1), torch.float32)
    views = [torch.randn(8, 3, 32, 32) for _ in range(4)]
    archs = [model.backbone.space.arch(path) for path in paths]
    loss, expected = model.loss(views, paths=archs)["loss"], plain.loss(views, archs)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)
    loss.backward()
    expected.backward()
    pairs = zip(model.backbone.parameters(), plain.backbone.parameters(), strict=True)
    for one, other in pairs:
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            difference = (one.grad - other.grad).norm()
            assert difference <= 1e-2 * other.grad.norm() + 1e-4
    queue = model.head.pair.queue
    torch.testing.assert_close(queue, plain.queue, rtol=1e-3, atol=1e-4)


def test_the_floor_is_all_products_of_the_step():
    floor, ours = Floor(config(), *SIZE), Ours(config(), *SIZE)
    # Each path runs the stem's and its blocks' modules, and the neck.
    paths = ours.model.step_paths(0, 0)
    backbone, neck = ours.model.backbone, ours.model.neck
    modules = [
        part
        for path in paths
        for module in [*backbone.path_modules(path), neck]
        for part in module.modules()
    ]
    convolutions = sum(isinstance(module, nn.Conv2d) for module in modules)
    layers = sum(isinstance(module, nn.Linear) for module in modules)
    # Student forward and backward, teacher forward; the negatives of two queries both ways.
    assert len(floor.calls) == 3 * convolutions + 4 * layers + 4
    floor()


def test_sides_take_steps_and_shares_are_of_the_whole():
    plain, ours = Plain(config(), *SIZE), Ours(config(), *SIZE)
    parameters = list(plain.plain.backbone.parameters())
    before = [parameter.clone() for parameter in parameters]
    plain()
    moved = {not torch.equal(*pair) for pair in zip(parameters, before, strict=True)}
    assert moved == {True, False}
    parts = train_step.profiled(ours)
    assert sum(parts.values()) == pytest.approx(1)
    wanted = {"convolution", "batch norm", "optimizer", "teacher update", "views", "attention"}
    assert wanted < set(parts)


def test_the_exponent_is_the_power_of_growth(tmp_path, monkeypatch):
    sizes = [1, 2, 4, 8]
    for power in (0, 0.5, 1, 2):
        times = [3 * size**power for size in sizes]
        assert growth.exponent(sizes, times) == pytest.approx(power, abs=1e-9)
    file = tmp_path / "growth.json"
    options = ["--quantities", "candidates", "--points", "2", "--rounds", "1", "--out", str(file)]
    monkeypatch.setattr(sys, "argv", ["growth.py", *options])
    growth.main()
    row = json.loads(file.read_text())["rows"]["candidates"]
    assert row["sizes"] == [1, 2]
    assert all(found["min"] > 0 for found in row["seconds"])
    assert all(held > 1e8 for held in row["peak_bytes"])


def test_a_row_has_all_sides_in_processes_of_their_own(tmp_path, monkeypatch):
    file = tmp_path / "step.json"
    options = ["--models", "small", "--precision", "float32", "--rounds", "1", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["train_step.py", *options, "--out", str(file)])
    train_step.main()
    content = json.loads(file.read_text())
    (row,) = content["rows"]
    assert content["machine"]["cores"] > 0
    assert (row["pixels"], row["batch"]) == (32, 64)
    seconds = [row[kind]["seconds"]["min"] for kind in ("plain", "ours", "floor")]
    assert row["plain_to_ours"]["min"] == seconds[0] / seconds[1]
    assert row["ours_to_floor"]["min"] == seconds[1] / seconds[2]
    assert all(row[kind]["peak_bytes"] > 1e8 for kind in ("plain", "ours"))
