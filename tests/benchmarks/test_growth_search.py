"""How a trial's cost grows: the benchmark on a few trials."""

import importlib
import json

import numpy as np
import pytest
from conftest import REPOSITORY


def test_both_tables_and_their_numbers(tool, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    out = tmp_path / "out.json"
    sizes = "--trials", 30, 60, "--rounds", 2, "--objectives", 2
    shared = "--workers", 1, 2, "--seconds", 0.05, "--each", 3, "--turns", 1
    name = "../benchmarks/growth_search.py"
    status, text, _ = tool(name, "--samplers", "LaNASSampler", *sizes, *shared, "--out", out)
    assert status == 0
    assert "LaNASSampler" in text
    figures = json.loads(out.read_text())["figures"]
    (row,) = figures["trials"]
    assert list(row["after"]) == ["30", "60"]
    for after in row["after"].values():
        assert all(0 < times["min"] <= times["median"] for times in after.values())
    medians = [after["processor"]["median"] for after in row["after"].values()]
    assert 2 ** row["exponent"] == pytest.approx(medians[1] / medians[0])
    one, two = figures["workers"]
    assert one["times"] == one["least"] == 1
    # Two can do at most two in the time that one sleeps.
    assert 0 < one["rate"] <= 1 / 0.05
    assert 0 < two["rate"] <= 2 / 0.05


def test_filled_records_are_whole(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    growth = importlib.import_module("growth_search")
    landscape = growth.chain(0.6, 0)
    record = growth.open_record(tmp_path / "search.db", landscape, "RandomSampler", 2, 50)
    growth.fill(record, landscape, 40)
    found = record.findings()
    assert not record._storage.faults
    assert len({e.arch for e in found.evaluated}) == found.states["complete"] == 40
    for e in found.evaluated:
        assert e.values == (landscape.score(np.array([e.arch]))[0], record.costs(e.arch)["macs"])
    assert len(record.claim(50)) == 10


@pytest.mark.parametrize("option", ["rounds", "workers", "trials"])
def test_no_trials_are_one_line(tool, option):
    status, _, text = tool("../benchmarks/growth_search.py", f"--{option}", 0)
    assert (status, text.count("\n")) == (2, 1)
    assert f"--{option} is " in text
