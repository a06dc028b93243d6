"""The examples, each run as a stranger would, and then used from config files."""

import json
import re
import sqlite3
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY

EXAMPLES = REPOSITORY / "examples"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Where the first example puts the digits that all read."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def go(run_process, data, tmp_path):
    """Runs an example from elsewhere, in two steps each; its work dir."""

    def run(name: str) -> Path:
        arguments = ("--work-dir", tmp_path / "work", "--data", data, "--steps", 2)
        done = run_process(EXAMPLES / f"{name}.py", *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return tmp_path / "work"

    return run


@pytest.fixture
def tool_with(run_process, tmp_path, monkeypatch):
    """Runs a tool on a config that a run left, in which an example is imported."""
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES))

    def run(tool: str, example: str, work_dir: Path, *arguments) -> str:
        (left,) = work_dir.glob("*.py")
        imports = dict(imports=["pinas_mm", example], allow_failed_imports=False)
        config = tmp_path / f"with_{example}.py"
        config.write_text(f'_base_ = ["{left}"]\ncustom_imports = {imports}\n')
        where = [config if argument == "CONFIG" else argument for argument in arguments]
        done = run_process(REPOSITORY / "tools" / tool, *where, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


def load(file: Path) -> dict:
    return torch.load(file, weights_only=True)


def check(work: Path, metric: str) -> dict:
    """What the whole way leaves; the winner's file."""
    supernet, detector = load(work / "supernet/iter_2.pth"), load(work / "detector/iter_2.pth")
    winner = load(work / "winner.pth")
    with sqlite3.connect(work / "search/search.db") as database:
        states = database.execute("SELECT state, count(*) FROM trials GROUP BY state").fetchall()
    assert states == [("COMPLETE", 8)]
    best = json.loads((work / "search/best.json").read_text())["best"]
    scores = [row["metrics"][metric] for row in best]
    assert scores == sorted(scores, reverse=True)
    assert all(row["costs"]["params"] <= 150_000 for row in best)
    page = (work / "search/search.html").read_text()
    assert "GatedConv 3" in page
    assert "GatedConv 5" in page
    assert len(list((work / "search/figures").glob("*.png"))) == 4

    assert winner["meta"]["arch"] == best[0]["arch"]
    assert winner["meta"]["space"] == supernet["meta"]["space"] == detector["meta"]["space"]
    assert {"type": "GatedConv", "kernel": 5} in winner["meta"]["space"]["candidates"]
    assert winner["meta"]["source"]["file"] == "iter_2.pth"
    assert winner["meta"]["calibration_batches"] > 0
    shapes = {f"backbone.{name}": v.shape for name, v in winner["state_dict"].items()}
    state = detector["state_dict"]
    assert {n: v.shape for n, v in state.items() if n.startswith("backbone.")} == shapes
    assert detector["meta"]["arch"] == best[0]["arch"]
    assert all(value.isfinite().all() for value in state.values())
    return winner


def test_own_operation(go, tool_with):
    work = go("own_operation")
    winner = check(work, "accuracy/top1")
    supernet = load(work / "supernet/iter_2.pth")["state_dict"]
    gated = {name.split(".")[3] for name in supernet if ".gate." in name}
    assert gated == {"3", "4"}
    arguments = ("--best", work / "search", "--calibrate", "CONFIG", "--out", work / "again.pth")
    tool_with("export.py", "own_operation", work / "search", *arguments)
    again = load(work / "again.pth")
    assert again["meta"] == winner["meta"]
    for name, value in winner["state_dict"].items():
        assert torch.equal(again["state_dict"][name], value), name


def test_own_score(go, tool_with):
    work = go("own_score")
    check(work, "log_likelihood")
    before = json.loads((work / "search/best.json").read_text())
    assert all(-10 < row["metrics"]["log_likelihood"] < 0 for row in before["best"])
    # Goes on where the record ends: it is the same score, found by its name.
    arguments = ("CONFIG", work / "supernet", "--work-dir", work / "search", "--trials", 10)
    out = tool_with("search.py", "own_score", work / "search", *arguments)
    assert "10 of 10 architectures" in out
    after = json.loads((work / "search/best.json").read_text())
    assert {row["trial"] for row in before["best"]} <= {row["trial"] for row in after["best"]}


def test_own_strategy(go, tool_with):
    work = go("own_strategy")
    check(work, "accuracy/top1")
    assert passes(work / "supernet/iter_2.pth") == 2 * 4
    arguments = ("CONFIG", "--work-dir", work / "supernet", "--resume", "--cfg-options")
    tool_with("train.py", "own_strategy", work / "supernet", *arguments, "train_cfg.max_iters=3")
    assert passes(work / "supernet/iter_3.pth") == 3 * 4


def passes(file: Path) -> int:
    """Forward passes in training, through all candidates of the first block together."""
    counter = re.compile(r"backbone\.layer1\.0\.(\d)\.(bn1|norm)\.num_batches_tracked")
    state = load(file)["state_dict"]
    counts = {m[1]: int(state[name]) for name in state if (m := counter.fullmatch(name))}
    assert len(counts) == 4  # Of five candidates the identity does not stand there.
    return sum(counts.values())


def test_python_api(go):
    work = go("python_api")
    winner, supernet = load(work / "winner.pth"), load(work / "supernet/epoch_2.pth")
    best = json.loads((work / "search/best.json").read_text())["best"]
    assert winner["meta"]["arch"] == best[0]["arch"]
    assert winner["meta"]["space"] == supernet["meta"]["space"]
    assert winner["meta"]["calibration_batches"] == 2
    assert all(row["costs"]["params"] <= 100_000 for row in best)
    assert (work / "winner.png").read_bytes().startswith(b"\x89PNG")
