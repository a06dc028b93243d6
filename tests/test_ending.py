"""A tool ends in one line, said once: interrupted, one of several processes, or left by another."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import CONFIGS, NAMES, REPOSITORY, free_port
from mmengine.logging import MessageHub

from pinas_mm import ending
from pinas_mm.commands.command import command
from pinas_mm.engine.launch import what_training_keeps

pytestmark = pytest.mark.slow


def raised(error):
    def main():
        raise error

    return main


def test_an_interruption_is_one_line_and_status_130(capsys, monkeypatch):
    main = ending.interruptible("all is kept")(raised(KeyboardInterrupt()))
    for rank, said in (("0", "interrupted: all is kept\n"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 130
        assert capsys.readouterr() == ("", said)


def test_what_a_training_keeps():
    hub = MessageHub.get_instance(next(NAMES))
    assert what_training_keeps() == "no checkpoint was due yet; the same command begins anew"
    hub.update_info("last_ckpt", "work/epoch_3.pth")
    assert "all until work/epoch_3.pth is kept" in what_training_keeps()
    assert "--resume" in what_training_keeps()


@pytest.mark.parametrize(
    "text",
    [
        "[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1",
        "Application timeout caused pair closure",
        "[1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=1)",
    ],
)
def test_a_lost_process_is_one_line(capsys, text):
    main = command(ending.interruptible("go on")(raised(RuntimeError(text))))
    with pytest.raises(SystemExit):
        main()
    assert "error: another process of the run is dead, or stopped" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="another fault"):
        ending.interruptible("go on")(raised(RuntimeError("another fault")))()


@pytest.fixture
def start(digits, tmp_path):
    """Starts a tool as a process; those that are left at the end are killed."""
    started = []

    def run(*command, **variables):
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=REPOSITORY,
            env={**os.environ, "PINAS_DATA": str(digits), "PYTHON": sys.executable, **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()


def test_interrupted_while_libraries_load(start):
    process = start(sys.executable, "tools/cost.py", "0123")
    while "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("interrupted: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("debug", "status"), [("0", 2), ("1", 1)])
def test_a_traceback_is_shown_where_it_is_asked_for(start, debug, status):
    process = start(sys.executable, "tools/train.py", "nothing.py", PINAS_DEBUG=debug)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert "config nothing.py does not exist: give a file" in err.splitlines()[-1]
    assert ("Traceback (most recent call last)" in err) == (debug == "1")


TRAIN = ["tools/train.py", CONFIGS / "small_supernet.py", "--cfg-options"]


def test_an_interrupted_training_says_how_to_go_on(start, tmp_path):
    loader = ["train_dataloader.num_workers=1", "train_dataloader.persistent_workers=True"]
    options = ["train_cfg.max_epochs=1000", *loader, f"work_dir={tmp_path / 'work'}"]
    process = start(sys.executable, *TRAIN, *options)
    while process.poll() is None and not (tmp_path / "work" / "last_checkpoint").exists():
        time.sleep(0.05)
    for _ in range(10):
        # As a terminal does, to the loader's worker too; Python swallows it while it forks.
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            _, err = process.communicate(timeout=10)
            break
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith(f"interrupted: all until {tmp_path}/work/epoch_")
    assert not list((tmp_path / "work").glob(".*.tmp"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--no-such-option"], "error: unrecognized arguments: --no-such-option"),
        (["--resume", "nothing.pth"], "error: checkpoint nothing.pth does not exist"),
    ],
)
def test_a_bad_option_of_several_processes_is_said_once(start, options, said):
    config = CONFIGS / "small_supernet.py"
    process = start("tools/dist_train.sh", config, 2, *options, PORT=str(free_port()))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    lines = [line for line in err.splitlines() if "mmengine - " not in line]
    assert len(lines) == 1
    assert lines[0].startswith(said)


def test_a_stopped_process_is_not_waited_for_longer_than_the_limit(start, tmp_path):
    options = ["train_cfg.max_epochs=1000", "env_cfg.dist_cfg.timeout=5"]
    place = dict(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()))
    waiting, stopped = (
        start(
            sys.executable,
            *TRAIN,
            *options,
            f"work_dir={tmp_path / 'work'}",
            "--launcher=pytorch",
            **place,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
        )
        for rank in range(2)
    )
    while waiting.poll() is None and not (tmp_path / "work" / "last_checkpoint").exists():
        time.sleep(0.05)
    stopped.send_signal(signal.SIGSTOP)
    _, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 2, err
    assert "error: another process of the run is dead, or stopped or busy for longer" in err
    assert "goes on from there with --resume" in err
    assert "Traceback" not in err
