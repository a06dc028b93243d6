"""What others read in a search's record."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pinas_mm.errors import UserError
from pinas_mm.search.budget.objective import parse_objectives
from pinas_mm.search.record.encoding import parameters
from pinas_mm.search.record.reading import as_score, read_record


@pytest.fixture
def searched(open_record, space, tmp_path):
    """A record of twelve architectures, whose loss is what was searched for."""
    file = tmp_path / "search.db"
    identity = dict(space=space.to_dict(), objectives=["loss/train (minimize)", "macs (minimize)"])
    record = open_record(file, objectives=["loss/train:min", "macs"], identity=identity)
    archs = []
    for claim in record.claim(12):
        record.finish(claim, {"loss/train": float(sum(claim.arch)), "top1": 50.0 + len(archs)})
        archs.append(claim.arch)
    record.claim(2)  # Not yet evaluated.
    return file, archs, record


def test_first_objective_and_any_other_metric_or_cost(searched, space):
    file, archs, record = searched
    found, score, results, objectives = read_record(file)
    assert (found, str(score)) == (space, "loss/train (minimize)")
    assert objectives == record.objectives
    assert results.values == {str(arch): {"": float(sum(arch))} for arch in archs}
    costs = record.costs(archs[3])
    assert results.costs[str(archs[3])] == dict(params=costs["params"], macs=costs["macs"])
    _, score, results, _ = read_record(file, metric="top1")
    assert str(score) == "top1 (maximize)"
    assert results.values[str(archs[3])] == {"": 53.0}
    _, score, results, _ = read_record(file, metric="macs:min")
    assert score.sign == -1
    assert results.values[str(archs[3])] == {"": costs["macs"]}
    # What was searched for has its own way, unless another is asked for.
    for metric in ("loss/train", "macs"):
        assert read_record(file, metric=metric)[1].sign == -1
        assert read_record(file, metric=f"{metric}:max")[1].sign == 1


def test_of_one_evaluated_again_the_mean_and_none_without_a_number(open_record, space, tmp_path):
    """As samplers have it."""
    identity = dict(space=space.to_dict(), objectives=["acc (maximize)"])
    record = open_record(tmp_path / "search.db", objectives="acc", identity=identity, trials=4)
    given = [("000", 10.0, 1.0), ("000", 0.0, 3.0), ("111", 4.0, float("nan")), ("222", 5.0, 2.0)]
    for text, accuracy, loss in given:
        record.study.enqueue_trial(parameters(space.arch(text), space))
        (claim,) = record.claim(1)
        record.finish(claim, {"acc": accuracy, "loss": loss})
    results = read_record(tmp_path / "search.db")[2]
    assert results.values == {"00-0": {"": 5.0}, "11-1": {"": 4.0}, "22-2": {"": 5.0}}
    results = read_record(tmp_path / "search.db", metric="loss:min")[2]
    assert results.values == {"00-0": {"": 2.0}, "22-2": {"": 2.0}}
    assert results.left_out == ("11-1",)


def test_nothing_is_made_or_changed_by_reading(searched, tmp_path):
    file, _, record = searched
    missing = tmp_path / "none" / "search.db"
    for url in (missing, f"sqlite:///{missing}"):
        with pytest.raises(UserError, match=r"search\.db does not exist: give the work dir"):
            read_record(url)
    assert not missing.parent.exists()
    record._storage.remove_session()
    record._storage.engine.dispose()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert file in before
    read_record(file)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_names_of_files_may_have_any_characters_and_a_search_may_be_at_work(searched, tmp_path):
    file, archs, record = searched
    assert file.with_name("search.db-wal").is_file()
    assert len(read_record(file)[2].values) == len(archs)
    record._storage.remove_session()
    record._storage.engine.dispose()
    folder = tmp_path / "100%? #1"
    folder.mkdir()
    shutil.copy(file, folder)
    assert len(read_record(folder / file.name)[2].values) == len(archs)
    assert [path.name for path in folder.iterdir()] == [file.name]


def test_what_was_half_written_is_not_read(searched, tmp_path):
    file, _, record = searched
    record._storage.remove_session()
    record._storage.engine.dispose()
    # As on file systems that have no log; killed within a transaction that reached the file.
    script = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA journal_mode=DELETE')\n"
        "c.execute('PRAGMA cache_size=1')\n"
        "c.execute('BEGIN')\n"
        "c.execute('UPDATE trial_values SET value = 99')\n"
        "c.execute('CREATE TABLE more (x)')\n"
        "c.executemany('INSERT INTO more VALUES (?)', [('x' * 1000,)] * 500)\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(file)], check=True)
    assert file.with_name("search.db-journal").stat().st_size
    # Undoing it takes write access, which reading does not have; what is wrong is not read.
    with pytest.raises(UserError, match="cannot be reached or written"):
        read_record(file)


def test_a_score_has_the_way_of_the_objective_of_its_name():
    known = parse_objectives(["acc", "loss:min", "macs"])
    signs = {name: as_score(name, known).sign for name in ("acc", "loss", "macs", "other")}
    assert signs == dict(acc=1, loss=-1, macs=-1, other=1)
    assert as_score("loss:max", known).sign == 1
    assert as_score("acc:min", known).sign == -1


def test_costs_as_scores_are_better_where_more():
    assert as_score("macs").sign == as_score("top1").sign == 1
    assert as_score("macs:min").sign == -1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (dict(metric="top5"), "has no metric top5: it has .*loss/train, top1"),
        (dict(metric="top1:up"), "is no metric"),
        (dict(study="other"), "has no study other: it has search"),
        (dict(url=Path("none.db")), "none.db does not exist: give the work dir of a search"),
        (dict(url="nonsense://x"), "is no database URL|no driver"),
    ],
)
def test_what_is_not_there(options, expected, searched):
    with pytest.raises(UserError, match=expected):
        read_record(**{"url": searched[0], **options})


def test_empty_and_damaged_records(open_record, space, tmp_path):
    identity = dict(space=space.to_dict(), objectives=["score (maximize)"])
    open_record(tmp_path / "new.db", identity=identity)
    with pytest.raises(UserError, match="has no architecture that is evaluated yet"):
        read_record(tmp_path / "new.db")
    open_record(tmp_path / "made.db", identity=dict(made="for tests"))
    with pytest.raises(UserError, match="is damaged"):
        read_record(tmp_path / "made.db")
    (tmp_path / "text.db").write_text("no database, but long enough to be none " * 100)
    with pytest.raises(UserError, match=r"text.db cannot be reached|text.db failed"):
        read_record(tmp_path / "text.db")
    with sqlite3.connect(tmp_path / "new.db") as connection:
        connection.execute("DELETE FROM study_user_attributes")
    with pytest.raises(UserError, match="does not say of which search it is"):
        read_record(tmp_path / "new.db")
