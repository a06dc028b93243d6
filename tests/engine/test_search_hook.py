"""Searching inside a training run."""

import json
import sqlite3

import pytest
import torch
from conftest import CONFIGS
from mmengine.config import Config

from pinas_mm.engine import ArchSearchHook
from pinas_mm.errors import UserError
from pinas_mm.search.record import Record


def search_dict(**changes) -> dict:
    cfg = Config.fromfile(CONFIGS / "small_search_label_free.py")
    return cfg.search.to_dict() | dict(trials=4) | changes


@pytest.fixture
def run(runner, tmp_path):
    """Trains the small supernet two epochs with the hook, or without."""

    def train(name: str, hook: ArchSearchHook | None, **options):
        work_dir = tmp_path / name
        built = runner(**{"train_cfg.max_epochs": 2, "work_dir": str(work_dir), **options})
        if hook is not None:
            built.register_hook(hook)
        built.train()
        return work_dir, built.model.state_dict()

    return train


def trials(folder) -> int:
    with sqlite3.connect(folder / "search.db") as database:
        return database.execute("SELECT count(*) FROM trials WHERE state='COMPLETE'").fetchone()[0]


def test_searches_every_epoch_and_training_does_not_notice(run):
    work_dir, searched = run("searched", ArchSearchHook(search_dict(), interval=1))
    _, plain = run("plain", None)
    for epoch in (1, 2):
        folder = work_dir / "search" / f"epoch_{epoch}"
        assert trials(folder) == 4
        assert json.loads((folder / "best.json").read_text())["best"]
    assert all(torch.equal(searched[name], plain[name]) for name in plain)


def test_searches_once_at_the_end(run):
    work_dir, _ = run("end", ArchSearchHook(search_dict()))
    assert [folder.name for folder in (work_dir / "search").iterdir()] == ["epoch_2"]


def test_broken_off_search_is_finished_on_resuming(run, monkeypatch, tmp_path):
    hook = ArchSearchHook(search_dict(batch=1), interval=1)
    finish, count = Record.finish, []

    def finish_two(self, *arguments):
        if len(count) == 2:
            raise KeyboardInterrupt
        count.append(1)
        return finish(self, *arguments)

    monkeypatch.setattr(Record, "finish", finish_two)
    with pytest.raises(KeyboardInterrupt):
        run("broken", hook)
    monkeypatch.setattr(Record, "finish", finish)
    folder = tmp_path / "broken"
    assert trials(folder / "search" / "epoch_1") == 2
    run("broken", hook, resume=True, load_from=str(folder / "epoch_1.pth"))
    assert trials(folder / "search" / "epoch_1") == trials(folder / "search" / "epoch_2") == 4


def test_bad_settings_are_refused_before_the_training():
    with pytest.raises(UserError, match="search has no nonsense"):
        ArchSearchHook(search_dict(nonsense=1))
    with pytest.raises(UserError, match="interval is 0"):
        ArchSearchHook(search_dict(), interval=0)
