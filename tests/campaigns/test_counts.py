"""A campaign's counts are 0 where a run is as it should be, and see what is wrong."""

import json
import shutil
import sqlite3
from pathlib import Path

import optuna
import pytest
import searching
import torch
import training
from files import damaged_files
from processes import Round

COUNTS = ("lost", "doubled", "differing", "half_written", "not_gone_on")


def counts(done: Round) -> dict[str, int]:
    found = {name: getattr(done, name) for name in COUNTS if getattr(done, name)}
    assert bool(done.faults) == bool(found)
    return found


def write_log(work_dir: Path, start: int, rows: list[dict]) -> None:
    file = work_dir / f"2026010{start}" / "vis_data" / "scalars.json"
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def train_row(step, **changes):
    return dict(loss=1 / step, time=0.1, step=step) | changes


def val_row(step, **changes):
    return dict(top1=step, step=step) | changes


def save(work_dir: Path, weight=1.0, name="epoch_2.pth") -> None:
    work_dir.mkdir(exist_ok=True)
    state = {"w": torch.tensor([weight, float("inf")])}
    torch.save(dict(state_dict=state, optimizer={"lr": 1}, param_schedulers=[]), work_dir / name)


UNBROKEN = [train_row(1), train_row(2), val_row(1), train_row(3), train_row(4), val_row(2)]
FIRST = UNBROKEN[:4]
SECOND = [train_row(3, time=7), train_row(4), val_row(2)]


@pytest.mark.parametrize(
    ("logs", "weight", "files", "expected"),
    [
        ([FIRST, SECOND], 1.0, (), {}),
        ([FIRST[:2], SECOND], 1.0, (), {"lost": 1}),
        ([FIRST[:2], [val_row(1)], SECOND[1:]], 1.0, (), {"lost": 1}),
        ([FIRST, [train_row(2), *SECOND[1:]]], 1.0, (), {"lost": 1}),
        ([FIRST, [*SECOND, train_row(5)]], 1.0, (), {"doubled": 1}),
        ([FIRST, [train_row(3), *SECOND]], 1.0, (), {"doubled": 1}),
        ([FIRST, [train_row(3, loss=1 / 3 + 1e-16), *SECOND[1:]]], 1.0, (), {"differing": 1}),
        ([FIRST, [*SECOND[:2], val_row(2, top1=0)]], 1.0, (), {"differing": 1}),
        ([FIRST, SECOND], 1.0000001, (), {"differing": 1}),
        ([FIRST, SECOND], None, (), {"lost": 1}),
        ([FIRST, SECOND], 1.0, (".epoch_1.pth.7.tmp", "epoch_1.pth"), {"half_written": 3}),
    ],
)
def test_trainings(logs, weight, files, expected, tmp_path):
    reference, work_dir = tmp_path / "reference", tmp_path / "round_0"
    write_log(reference, 0, UNBROKEN)
    save(reference)
    for start, rows in enumerate(logs):
        write_log(work_dir, start, rows)
    if weight is not None:
        save(work_dir, weight)
    for name in files:
        (work_dir / name).write_bytes(b"half")
    done = Round()
    training.compare(reference, work_dir, done)
    assert counts(done) == expected


WANTED = {arch: dict(values=[v], metrics={"m": v}) for arch, v in (("0-0", 1.0), ("0-1", 2.0))}


@pytest.mark.parametrize(
    ("found", "best", "expected"),
    [
        ([("0-0", 1.0), ("0-1", 2.0)], 2.0, {}),
        ([("0-0", None), ("0-1", 2.0)], 2.0, {"lost": 1}),
        ([("0-0", 1.0), ("0-1", 2.0), ("0-0", 1.0)], 2.0, {"doubled": 1}),
        ([("0-0", 1.0 + 1e-15), ("0-1", 2.0)], 2.0, {"differing": 1}),
        ([("0-0", 1.0), ("0-1", 2.0)], 1.0, {"differing": 1}),
        ([("0-0", 1.0), ("0-1", 2.0)], None, {"lost": 1}),
    ],
)
def test_searches(found, best, expected, tmp_path):
    storage = f"sqlite:///{tmp_path / 'search.db'}"
    study = optuna.create_study(storage=storage, study_name="search")
    for arch, value in found:
        trial = study.ask()
        trial.set_user_attr("arch", arch)
        trial.set_user_attr("metrics", {"m": value})
        if value is not None:  # Its worker died.
            study.tell(trial, value)
    if best is not None:
        (tmp_path / "best.json").write_text(json.dumps(dict(best=[dict(metrics={"m": best})])))
    done = Round()
    searching.compare(WANTED, storage, "search", tmp_path, done)
    assert counts(done) == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("epoch_1.pth", b"PK half"),
        ("best.json", b'{"best": ['),
        ("2026/vis_data/scalars.json", b'{"step": 1}\n{"st'),
        ("workers/.best.json.17.tmp", b"{}"),
        (".writable", b""),
        ("search.db", b"SQLite format 3\0 half"),
    ],
)
def test_files_that_are_not_whole(name, content, tmp_path):
    save(tmp_path)
    sqlite3.connect(tmp_path / "whole.db").close()
    assert damaged_files(tmp_path) == []
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    (said,) = damaged_files(tmp_path)
    assert said.startswith(str(path))
    shutil.rmtree(tmp_path)
