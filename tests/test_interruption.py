"""A training that was killed goes on from its last checkpoint as if nothing had happened."""

import subprocess
import sys
import time
import zipfile

import pytest
from conftest import CONFIGS, REPOSITORY, logged

from pinas_mm.demo.scalars import training_rows, validation_rows
from pinas_mm.weights.checkpoint import find_checkpoint, read_checkpoint

pytestmark = pytest.mark.slow

EXACT = ("step", "epoch", "lr", "loss", "similarity", "spread")


@pytest.fixture
def kill(digits, monkeypatch):
    """Starts a training, waits until a file is there, and kills it with SIGKILL."""
    monkeypatch.setenv("PINAS_DATA", str(digits))

    def run(work_dir, awaited, *options):
        command = [sys.executable, REPOSITORY / "tools/train.py", CONFIGS / "small_supernet.py"]
        command += ["--work-dir", work_dir, "--resume", "--cfg-options", *options]
        process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        while process.poll() is None and not (work_dir / awaited).exists():
            time.sleep(0.002)
        process.kill()
        _, err = process.communicate()
        assert process.returncode == -9, err

    return run


def exact(rows):
    return [{key: row[key] for key in EXACT} for row in rows]


def test_a_killed_run_resumes_to_the_same_losses(tmp_path, train, kill):
    options = {"train_cfg.max_epochs": 12, "train_cfg.val_interval": 100}
    unbroken = train("small_supernet.py", tmp_path / "unbroken", options=options)
    assert len(unbroken) == 48
    work_dir = tmp_path / "broken"
    kill(work_dir, "epoch_2.pth", *(f"{key}={value}" for key, value in options.items()))
    before = logged(work_dir)
    resumed = train("small_supernet.py", work_dir, "--resume", options=options)
    start = int(resumed[0]["step"])
    # The kill may fall between a checkpoint and the file that names it as the last one.
    assert 4 < start < 48
    # The logged losses are means over the last iterations: the log's history resumes as well.
    assert exact(resumed) == exact(unbroken)[start - 1 :]
    assert exact(before) == exact(unbroken)[: len(before)]
    assert len({row["loss"] for row in unbroken}) == 48


def test_however_often_it_is_killed_it_resumes(tmp_path, train, kill):
    # One iteration an epoch: most of the time goes into checkpoints.
    options = ("train_dataloader.dataset.indices=4", "train_cfg.max_epochs=1000")
    reached = [0]
    for awaited in ("epoch_2.pth", "epoch_9.pth", "epoch_23.pth"):
        kill(tmp_path, awaited, *options, "train_cfg.val_interval=1000")
        assert all(zipfile.is_zipfile(path) for path in tmp_path.glob("*.pth"))
        checkpoint = read_checkpoint(find_checkpoint(tmp_path))
        reached.append(checkpoint["meta"]["iter"])
    assert reached == sorted(set(reached))
    rows = train(
        "small_supernet.py",
        tmp_path,
        "--resume",
        options={
            "train_dataloader.dataset.indices": 4,
            "train_cfg.max_epochs": reached[-1] + 1,
            "train_cfg.val_interval": 1000,
        },
    )
    assert [row["step"] for row in rows] == [reached[-1] + 1]


def test_only_checkpoints_that_may_be_needed_are_kept(tmp_path, train):
    options = {"train_cfg.max_epochs": 5, "train_dataloader.dataset.indices": 4}
    train("small_supernet.py", tmp_path, options={**options, "train_cfg.val_interval": 5})
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == [
        "epoch_3.pth",
        "epoch_4.pth",
        "epoch_5.pth",
    ]
    assert not list(tmp_path.glob(".*.tmp"))


def test_resuming_where_nothing_is_starts_from_the_beginning(tmp_path, train):
    options = {"train_cfg.max_epochs": 1}
    # All that a run leaves that was killed in its first checkpoint.
    (tmp_path / ".epoch_1.pth.4711.tmp").write_bytes(bytes(100))
    rows = train("small_supernet.py", tmp_path, "--resume", options=options)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert not list(tmp_path.glob(".*.tmp"))


def test_queue_teacher_and_optimizer_go_through_a_checkpoint(tmp_path, train):
    train("small_supernet.py", tmp_path, options={"train_cfg.max_epochs": 1})
    saved = read_checkpoint(tmp_path)
    state = saved["state_dict"]
    assert state["head.pair.queue_ptr"].tolist() == [16]
    teacher = {key for key in state if key.startswith("teacher.backbone.")}
    assert {key.removeprefix("teacher.") for key in teacher} == {
        key for key in state if key.startswith("backbone.")
    }
    assert saved["optimizer"]["state"]
    assert saved["meta"]["seed"] == 0
    assert saved["meta"]["iter"] == 4


def test_killed_in_its_last_validation_it_is_validated(tmp_path, train):
    options = {"train_cfg.max_epochs": 1}
    assert train("small_supernet.py", tmp_path, "--no-validate", options=options)
    trained = training_rows(tmp_path)
    assert not validation_rows(tmp_path)
    train("small_supernet.py", tmp_path, "--resume", options=options)
    # Their times would differ if steps were trained again. Both runs may log in one folder: it is
    # named after the second.
    assert training_rows(tmp_path) == trained
    (row,) = validation_rows(tmp_path)
    assert row["step"] == 4
    assert "retrieval/top1" in row


def test_killed_between_a_checkpoint_and_its_validation_it_is_validated_once(tmp_path, train):
    options = {"train_cfg.max_epochs": 1, "train_cfg.val_interval": 1}
    assert train("small_supernet.py", tmp_path, "--no-validate", options=options)
    longer = {**options, "train_cfg.max_epochs": 2}
    train("small_supernet.py", tmp_path, "--resume", options=longer)
    assert [row["step"] for row in validation_rows(tmp_path)] == [4, 8]
    longest = {**options, "train_cfg.max_epochs": 3}
    train("small_supernet.py", tmp_path, "--resume", options=longest)
    assert [row["step"] for row in validation_rows(tmp_path)] == [4, 8, 12]
