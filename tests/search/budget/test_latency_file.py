"""When a file of latency tables is used, and what it says."""

import json
import re

import pytest
import torch
from conftest import NAMES
from latencies import QUICK, blocks_run, kept_latency, measured_latency
from mmengine.logging import MMLogger

from pinas_mm.search.budget.latency_table import LatencyTable
from pinas_mm.space import SearchSpace


def test_file_is_read_where_everything_agrees(deep, tmp_path):
    path = tmp_path / "new" / "latency.json"
    first = kept_latency(path, deep, **QUICK)
    with blocks_run() as measured:
        again = kept_latency(path, deep, **QUICK)
    assert not measured
    assert again.to_dict() == first.to_dict()
    setting = json.loads(path.read_text())[0]["setting"]
    assert setting["torch"] == torch.__version__
    assert setting["device"]
    assert setting["image_size"] == [16, 16]
    assert setting["threads"] == setting["batch_size"] == 1
    assert SearchSpace.build(setting["space"]) == deep


@pytest.mark.parametrize(
    "change",
    [
        dict(image_size=20),
        dict(batch_size=2),
        dict(num_threads=2),
        dict(in_channels=1),
        dict(memory_format="contiguous_format"),
    ],
)
def test_another_setting_is_measured_anew_and_both_are_kept(deep, tmp_path, change):
    path = tmp_path / "latency.json"
    first = kept_latency(path, deep, **QUICK)
    with blocks_run() as measured:
        kept_latency(path, deep, **{**QUICK, **change})
    assert measured
    with blocks_run() as measured:
        assert kept_latency(path, deep, **QUICK).to_dict() == first.to_dict()
        kept_latency(path, deep, **{**QUICK, **change})
    assert not measured


def test_another_space_or_machine_is_measured_anew(deep, space, tmp_path):
    path = tmp_path / "latency.json"
    kept_latency(path, deep, **QUICK)
    with blocks_run() as measured:
        assert kept_latency(path, space, **QUICK).table.shape == (3, 4)
    assert measured
    content = json.loads(path.read_text())
    for key in ("device", "torch"):
        other = json.loads(json.dumps(content))
        for table in other:
            table["setting"][key] = "another"
        path.write_text(json.dumps(other))
        with blocks_run() as measured:
            kept_latency(path, deep, **QUICK)
        assert measured


@pytest.mark.parametrize("damage", ["cut", "empty", "negative", "another table", "no list"])
def test_damaged_file_is_measured_anew_with_a_notice(deep, tmp_path, capfd, damage):
    path = tmp_path / "latency.json"
    table = kept_latency(path, deep, **QUICK).to_dict()
    text = path.read_text()
    negative = {**table, "fixed": -1.0}
    other = {**table, "table": table["table"][1:]}
    path.write_text(
        {
            "cut": text[: len(text) // 2],
            "empty": "",
            "negative": json.dumps([negative]),
            "another table": json.dumps([other]),
            "no list": json.dumps({"a": 1}),
        }[damage]
    )
    # A logger that writes to this test's output.
    MMLogger.get_instance(str(tmp_path))
    with blocks_run() as measured:
        again = kept_latency(path, deep, **QUICK)
    assert measured
    assert "is damaged" in "".join(capfd.readouterr())
    assert [LatencyTable.from_dict(t).to_dict() for t in json.loads(path.read_text())] == [
        again.to_dict()
    ]


@pytest.mark.parametrize(
    ("setting", "known", "doubt"),
    [
        ({}, dict(load=0.4, spread=0.02), None),
        ({}, dict(load=None, spread=0.0), None),
        ({}, dict(load=3.04, spread=0.02), "3.0 processes wanted each core of the machine"),
        ({}, dict(load=None, spread=0.5), "repeats lay 50% apart"),
        (dict(threads=1000), dict(load=0.0), "1000 threads had .* cores"),
    ],
)
def test_doubts_are_kept_and_said_to_every_reader(deep, tmp_path, capfd, setting, known, doubt):
    path = tmp_path / "latency.json"
    threads = setting.get("threads", 1)
    content = measured_latency(deep, **QUICK).to_dict() | known
    content["setting"] |= setting
    path.write_text(json.dumps([content]))
    for _ in range(2):
        MMLogger.get_instance(f"{tmp_path} {next(NAMES)}")
        capfd.readouterr()
        table = kept_latency(path, deep, **{**QUICK, "num_threads": threads})
        out = "".join(capfd.readouterr())
        assert (table.load, table.spread) == (known["load"], known.get("spread", content["spread"]))
        if doubt is None:
            assert "latency may be wrong" not in out
        else:
            assert re.search(f"WARNING.*latency may be wrong, {doubt}.*{path}", out)


def test_a_table_of_an_earlier_version_is_read(deep, tmp_path):
    path = tmp_path / "latency.json"
    content = measured_latency(deep, **QUICK).to_dict()
    path.write_text(json.dumps([{k: content[k] for k in ("setting", "fixed", "table")}]))
    with blocks_run() as measured:
        assert kept_latency(path, deep, **QUICK).load is None
    assert not measured
