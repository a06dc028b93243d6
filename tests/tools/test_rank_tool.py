"""tools/rank.py on tables, searches and supernets."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import CONFIGS, REPOSITORY, save_model

from pinas_mm.models.cost import count_costs

# Published supernets' scores, too large for the repository.
BENCH = Path(os.environ.get("PINAS_BENCH", REPOSITORY.parent / "shared" / "bench"))
published = pytest.mark.skipif(not BENCH.is_dir(), reason=f"{BENCH} is not there: PINAS_BENCH")


@pytest.fixture
def ranked(tool, tmp_path):
    """Runs the tool: (status, output, errors, what it wrote as JSON)."""

    def run(*arguments):
        out = tmp_path / "ranking.json"
        status, printed, errors = tool("rank.py", *arguments, "--out", out)
        return status, printed, errors, json.loads(out.read_text()) if out.exists() else None

    return run


@pytest.fixture
def truth(space, tmp_path):
    """Half of the small space with three seeds each, better with larger choices."""
    path, rng = tmp_path / "alone.csv", np.random.default_rng(0)
    lines = ["arch,seed,top1"]
    for arch in space.everything()[::2]:
        text = str(space.arch(arch.tolist()))
        lines += [f"{text},{seed},{arch.sum() + rng.normal():.4f}" for seed in range(3)]
    path.write_text("\n".join(lines))
    return path


@published
@pytest.mark.parametrize(
    ("arguments", "number", "expected"),
    [
        (
            [BENCH / "nats_ss_cifar10.yml", BENCH / "bossnas_scores_nats_ss.csv"],
            32768,
            dict(kendall=0.5336, spearman=0.7342, pearson=0.7181),
        ),
        (
            [BENCH / "bossnas_mbconv.csv", "--metric", "imagenet_top1", "--score", "bossnas_score"],
            23,
            dict(kendall=0.6468, spearman=0.7771),
        ),
    ],
    ids=["nats", "mbconv"],
)
def test_published_supernets(arguments, number, expected, ranked):
    status, _, errors, found = ranked(*arguments, "--resamples", 20)
    assert status == 0, errors
    assert found["number"] == number
    for name, value in expected.items():
        assert round(found[name]["value"], 4) == value
        assert found[name]["low"] < value < found[name]["high"]


def test_search_is_ranked_on_what_it_evaluated(ranked, truth, open_record, space, tmp_path):
    identity = dict(space=space.to_dict(), objectives=["loss (minimize)"])
    record = open_record(
        tmp_path / "work" / "search.db", objectives="loss:min", identity=identity, trials=40
    )
    for claim in record.claim(40):
        record.finish(claim, {"loss": -float(sum(claim.arch))})
    picture = tmp_path / "ranking.png"
    status, printed, errors, found = ranked(truth, tmp_path / "work", "--picture", picture)
    assert status == 0, errors
    assert picture.read_bytes().startswith(b"\x89PNG")
    left_out = found["scores"]["architectures_left_out"]
    assert found["number"] + left_out == 40
    assert 3 < found["number"] < 32
    assert f"left out: {32 - found['number']} architectures without a score, {left_out}" in printed
    assert found["kendall"]["value"] > 0.5
    assert found["scores"]["score"] == "loss (minimize)"
    assert found["costs"] == ["params", "macs"]
    assert found["ceiling"]["value"] < 1
    status, _, errors, _ = ranked(
        truth, tmp_path / "work", "--config", REPOSITORY / "configs" / "pinas_search.py"
    )
    assert status == 2
    assert "leave --config out" in errors
    # A work dir whose search is called otherwise.
    status, _, errors, _ = ranked(truth, tmp_path / "work", "--study-name", "other")
    assert status == 2
    assert "has no study other: it has search" in errors


def test_supernet_is_scored_as_its_search_would(ranked, truth, space, tmp_path):
    save_model("small_linear.py", tmp_path / "linear.pth")
    config = ["--config", CONFIGS / "small_search.py", "--work-dir", tmp_path / "log"]
    arguments = truth, tmp_path / "linear.pth", *config, "--resamples", "10"
    status, _, errors, found = ranked(*arguments)
    assert status == 0, errors
    assert found["number"] == 32
    assert found["scores"]["score"] == "accuracy/top1 (maximize)"
    assert found["costs"] == ["params", "macs"]
    status, printed, errors, _ = ranked(*arguments, "--score", "loss:min")
    assert status == 2
    assert "loss is not among what the score gives: accuracy/top1, accuracy/top5" in errors
    assert "architectures scored" not in printed


def test_a_supernet_without_training_is_scored_by_what_needs_none(ranked, truth, tmp_path):
    config = ["--config", CONFIGS / "small_search.py", "--work-dir", tmp_path / "log"]
    options = "search.score=CostScore", "search.objectives=['zero_cost/macs']"
    arguments = truth, "untrained", *config, "--resamples", "10"
    status, _, errors, found = ranked(*arguments, "--cfg-options", *options)
    assert status == 0, errors
    assert found["scores"]["source"] == "untrained"
    assert found["scores"]["score"] == "zero_cost/macs (maximize)"
    # Multiply-adds rank as multiply-adds: with them held fixed nothing is left.
    assert found["partial"]["value"] == pytest.approx(0, abs=1e-9)


def test_costs_are_counted_where_a_config_gives_the_space(ranked, truth, space, tmp_path):
    table = count_costs(space, 32, 0)
    rows = {text: -table.cost(text).macs for text in map(str, archs_of(truth))}
    (tmp_path / "macs.json").write_text(json.dumps(rows))
    config = ["--config", CONFIGS / "small_search.py", "--size", "32"]
    status, _, errors, found = ranked(truth, tmp_path / "macs.json", *config)
    assert status == 0, errors
    assert found["costs"] == ["params", "macs"]
    assert found["partial"]["value"] == 0


def test_columns_of_one_table_by_any_name(ranked, tmp_path):
    table = tmp_path / "wide.csv"
    table.write_text("arch,[red]top1,loss$,macs\n" + "a,1,3,5\nb,2,2,4\nc,3,1,9\nd,4,0,2\n")
    picture = tmp_path / "wide.png"
    columns = ["--metric", "[red]top1", "--score", "loss$:min", "--picture", picture]
    status, printed, errors, found = ranked(table, *columns, "--top", 1, 3, 9, "--resamples", 0)
    assert status == 0, errors
    assert "[red]top1 by loss$, 4 architectures" in printed
    assert printed.splitlines()[-2:] == [str(tmp_path / "ranking.json"), str(picture)]
    assert found["kendall"] == dict(value=1, low=None, high=None)
    assert found["partial"]["value"] == 1
    assert found["costs"] == ["macs"]
    assert list(found["regret"]) == ["1", "3"]


def archs_of(table: Path) -> list[str]:
    return list(dict.fromkeys(line.split(",")[0] for line in table.read_text().splitlines()[1:]))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "which scores? Give a second table, a search or a checkpoint, or --score"),
        (["{other}"], "have no architecture in common, as 00-0 and 8:8:16"),
        (["{few}"], "alone.csv has 30 architectures that {few} does not know, as 00-2: --common"),
        (["{few}", "--common"], "{truth} against {few}: 2 true values and 2 scores: a ranking"),
        (["{few}", "--config", "{config}"], "alone.csv has 30 architectures"),
        (
            ["{other}", "--config", "{config}"],
            "{other}, entry 8:8:16: architecture 8:8:16 is too long",
        ),
        (["{flat}"], "{truth} against {flat}: the score is the same for all architectures"),
        (["{nan}"], "{nan}, entry 00-0: value is nan, no finite number"),
        (["--score", "top5"], "{truth} has no column top5: it has top1"),
        (["{flat}", "--metric", "top1:up"], "objective 'top1:up' is no metric"),
        (["{flat}", "--top", "0"], "--top is 0: at least 1"),
        (["{flat}", "--resamples", "-1"], "--resamples is -1: at least 0"),
        (["{flat}", "--picture", "{folder}"], "{folder} is a folder: give a file name"),
        (["{folder}"], "{folder} is a supernet's unless it has a search.db: give --config"),
        (["none.pth"], "none.pth is a supernet's unless"),
        (["none.txt"], "none.txt is no table: give a file of"),
        (["none.csv"], "cannot read none.csv: No such file"),
        (["{flat}", "--config", ""], "config is empty"),
        (["{flat}", "--picture", "{out}"], "{out} is to be written twice"),
        (["{flat}", "--picture", "{flat}"], "{flat} is to be read and written"),
        (["{flat}", "--picture", "{truth}"], "{truth} is to be read and written"),
        (["{flat}", "--config", "{config}", "--picture", "{config}"], "is to be read and written"),
        (["http://127.0.0.1:9/a.pth"], "http://127.0.0.1:9/a.pth is a supernet's unless"),
        (["http://127.0.0.1:9/a.pth", "--config", "{config}"], "cannot download checkpoint"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(arguments, expected, ranked, truth, tmp_path):
    archs = archs_of(truth)
    tables = dict(
        other={"8:8:16": 1, "8:16:16": 2, "16:16:16": 3},
        few={archs[0]: 1, archs[2]: 2},
        flat=dict.fromkeys(archs, 1),
        nan=dict.fromkeys(archs, float("nan")),
    )
    places = dict(truth=truth, folder=tmp_path, config=CONFIGS / "small_search.py")
    places["out"] = tmp_path / "ranking.json"
    for name, rows in tables.items():
        places[name] = tmp_path / f"{name}.json"
        places[name].write_text(json.dumps(rows))
    given = [argument.format(**places) for argument in arguments]
    status, _, errors, found = ranked(truth, *given)
    assert status == 2
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert expected.format(**places) in line
    assert "Traceback" not in errors
    assert found is None
