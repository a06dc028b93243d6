"""Searching inside a training run."""

import copy
import json
import sqlite3

import optuna
import pytest
import torch
from conftest import CONFIGS, free_port
from mmengine.config import Config

from pinas_mm.engine import ArchSearchHook
from pinas_mm.engine.run_search import search_loaders
from pinas_mm.errors import UserError
from pinas_mm.search.record.record import Record

pytestmark = pytest.mark.slow


def search_dict(**changes) -> dict:
    cfg = Config.fromfile(CONFIGS / "small_search_label_free.py")
    return cfg.search.to_dict() | search_loaders(cfg) | dict(trials=4) | changes


# The same eight steps, counted in epochs of four batches or in iterations; what is drawn for an
# image shows that the search drew nothing that it kept.
PIPELINE = [dict(type="pinas_mm.LoadImage"), dict(type="RandomFlip", prob=0.5)]
EPOCHS = {"train_dataloader.dataset.pipeline": [*PIPELINE, dict(type="PackInputs")]}
ITERATIONS = EPOCHS | {
    "train_cfg": dict(_delete_=True, type="IterBasedTrainLoop", max_iters=8, val_interval=8),
    "train_dataloader.sampler": dict(_delete_=True, type="InfiniteSampler", shuffle=True),
    "param_scheduler": [dict(type="CosineAnnealingLR", by_epoch=False)],
    "default_hooks.checkpoint": dict(by_epoch=False, interval=4),
}
COUNTED = pytest.mark.parametrize(
    ("loop", "interval", "unit", "middle", "end"),
    [(EPOCHS, 1, "epoch", 1, 2), (ITERATIONS, 4, "iter", 4, 8)],
    ids=["epochs", "iterations"],
)


@pytest.fixture
def run(runner, tmp_path):
    """Trains the small supernet two epochs with the hook, or without."""

    def train(name: str, hook: ArchSearchHook | None, **options):
        work_dir = tmp_path / name
        epochs = {} if "train_cfg" in options else {"train_cfg.max_epochs": 2}
        # mmengine takes marks out of what it merges.
        built = runner(**epochs, work_dir=str(work_dir), **copy.deepcopy(options))
        if hook is not None:
            built.register_hook(hook)
        built.train()
        return work_dir, built.model.state_dict()

    return train


def trials(folder) -> int:
    with sqlite3.connect(folder / "search.db") as database:
        return database.execute("SELECT count(*) FROM trials WHERE state='COMPLETE'").fetchone()[0]


@COUNTED
@pytest.mark.parametrize("workers", [0, 1])
def test_searches_now_and_then_and_training_does_not_notice(
    run, loop, interval, unit, middle, end, workers
):
    loop = loop | {"train_dataloader.num_workers": workers}
    work_dir, searched = run("searched", ArchSearchHook(search_dict(), interval), **loop)
    _, plain = run("plain", None, **loop)
    assert {folder.name for folder in (work_dir / "search").iterdir()} == {
        f"{unit}_{middle}",
        f"{unit}_{end}",
    }
    for folder in (work_dir / "search").iterdir():
        assert trials(folder) == 4
        assert json.loads((folder / "best.json").read_text())["best"]
    assert all(torch.equal(searched[name], plain[name]) for name in plain)
    # All curves are over iterations, of which an epoch has four.
    (file,) = work_dir.glob("*/vis_data/scalars.json")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert {row["step"] for row in rows if any(key.startswith("search/") for key in row)} == {4, 8}
    assert {row["step"] for row in rows if "retrieval/top1" in row} == {8}


def test_loaders_are_the_trainings_where_the_search_has_none(run):
    search = Config.fromfile(CONFIGS / "small_search_label_free.py").search.to_dict()
    hook = ArchSearchHook(search | dict(trials=2, dataloader=dict(batch_size=2)))
    work_dir, _ = run("bare", hook)
    assert trials(work_dir / "search" / "epoch_2") == 2
    whole = search_dict()
    assert hook.settings.dataloader == whole["dataloader"] | dict(batch_size=2)
    assert hook.settings.calibration_dataloader == whole["calibration_dataloader"]


@COUNTED
def test_searches_once_at_the_end(run, loop, interval, unit, middle, end):
    work_dir, _ = run("end", ArchSearchHook(search_dict()), **loop)
    assert [folder.name for folder in (work_dir / "search").iterdir()] == [f"{unit}_{end}"]


def test_iterations_can_be_counted_where_the_training_counts_epochs(run):
    work_dir, searched = run("searched", ArchSearchHook(search_dict(), 3, by_epoch=False))
    _, plain = run("plain", None)
    folders = {folder.name for folder in (work_dir / "search").iterdir()}
    assert folders == {"iter_3", "iter_6", "iter_8"}
    assert all(torch.equal(searched[name], plain[name]) for name in plain)


@COUNTED
def test_broken_off_search_is_finished_on_resuming(
    run, monkeypatch, tmp_path, loop, interval, unit, middle, end
):
    hook = ArchSearchHook(search_dict(batch=1), interval)
    finish, count = Record.finish, []

    def finish_two(self, *arguments):
        if len(count) == 2:
            raise KeyboardInterrupt
        count.append(1)
        return finish(self, *arguments)

    monkeypatch.setattr(Record, "finish", finish_two)
    with pytest.raises(KeyboardInterrupt):
        run("broken", hook, **loop)
    monkeypatch.setattr(Record, "finish", finish)
    folder = tmp_path / "broken"
    assert trials(folder / "search" / f"{unit}_{middle}") == 2
    checkpoint = folder / f"{unit}_{middle}.pth"
    run("broken", hook, resume=True, load_from=str(checkpoint), **loop)
    for done in (middle, end):
        assert trials(folder / "search" / f"{unit}_{done}") == 4


@pytest.mark.parametrize("again", [{}, {"train_dataloader.batch_size": 2}])
def test_in_the_middle_of_an_epoch_nothing_is_searched_on_resuming(run, tmp_path, again):
    options = {"default_hooks.checkpoint": dict(by_epoch=False, interval=2)}
    work_dir, _ = run("broken", None, **options)
    hook = ArchSearchHook(search_dict(), interval=1)
    # Two batches of the second epoch are done, and the weights are no longer the first one's.
    checkpoint = work_dir / "iter_6.pth"
    run("broken", hook, resume=True, load_from=str(checkpoint), **options, **again)
    assert [folder.name for folder in (work_dir / "search").iterdir()] == ["epoch_2"]


def test_weights_of_another_training_are_another_search(run, tmp_path):
    url = f"sqlite:///{tmp_path / 'all.db'}"
    for seed in (0, 1):
        # One database for all: every epoch of every training is a study of its own.
        hook = ArchSearchHook(search_dict(trials=2, storage=url), interval=1)
        work_dir, _ = run(f"seed{seed}", hook, **{"randomness.seed": seed})
    names = optuna.get_all_study_names(url)
    assert len(names) == 4
    assert [name.startswith("search_epoch_") for name in names] == [True] * 4
    assert json.loads((work_dir / "search/epoch_2/best.json").read_text())["best"]


RANKS = """
_base_ = ["{base}"]
custom_hooks = [dict(type="pinas_mm.ArchSearchHook", search={search}, interval=1)]
"""


def test_ranks_search_together_and_train_on(run_process, monkeypatch, digits, tmp_path):
    monkeypatch.setenv("PINAS_DATA", str(digits))
    config = tmp_path / "config.py"
    config.write_text(
        RANKS.format(base=CONFIGS / "small_supernet.py", search=search_dict(trials=3, batch=1))
    )
    done = run_process(
        *("-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port", free_port()),
        *("tools/train.py", config, "--launcher", "pytorch", "--work-dir", tmp_path / "work"),
    )
    assert done.returncode == 0, done.stderr
    for epoch in (1, 2):
        assert trials(tmp_path / "work" / "search" / f"epoch_{epoch}") == 3
    assert (tmp_path / "work" / "epoch_2.pth").is_file()


def test_what_does_not_suit_the_model_is_refused_before_the_training(run, runner, tmp_path):
    with pytest.raises(UserError, match="sampler Nope is unknown"):
        run("refused", ArchSearchHook(search_dict(sampler="Nope")))
    assert not (tmp_path / "refused" / "epoch_1.pth").exists()
    built = runner()
    linear = Config.fromfile(CONFIGS / "small_search.py").search.to_dict()
    for changes, message in (
        (dict(objectives=["cross_path/nope"]), "objective cross_path/nope"),
        (dict(constraints=["macs=5"]), "constraint 'macs=5'"),
        (dict(pruner="NopePruner"), "NopePruner is unknown"),
        (dict(memory="much"), "memory is 'much'"),
        (dict(score=linear["score"], objectives=["accuracy/top1"]), "SinglePath"),
        (dict(dataloader=dict(dataset=dict(data_root="/none"))), "/none of the search set"),
    ):
        with pytest.raises(UserError, match=message):
            ArchSearchHook(search_dict(**changes)).before_train(built)


def test_epochs_of_an_iteration_based_training_are_refused(run):
    with pytest.raises(UserError, match="by_epoch=True, and this training is iteration-based"):
        run("iterations", ArchSearchHook(search_dict(), 1, by_epoch=True), **ITERATIONS)


def test_bad_settings_are_refused_at_once():
    with pytest.raises(UserError, match="search has no nonsense"):
        ArchSearchHook(search_dict(nonsense=1))
    for workers in (dict(workers=2), dict(keep_workers=True)):
        with pytest.raises(UserError, match="in a training its own processes search"):
            ArchSearchHook(search_dict(**workers))
    with pytest.raises(UserError, match="interval is 0"):
        ArchSearchHook(search_dict(), interval=0)
