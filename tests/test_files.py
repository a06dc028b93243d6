"""Files are written whole or not at all."""

import json
import multiprocessing
import signal
import subprocess
import sys
import time

import pytest

from pinas_mm.errors import UserError
from pinas_mm.files import check_writable, remove_left_over, write_json


def test_json_is_written_whole(tmp_path):
    write_json(tmp_path / "new" / "file.json", {"a": 1.5})
    assert json.loads((tmp_path / "new" / "file.json").read_text()) == {"a": 1.5}
    with pytest.raises(TypeError):
        write_json(tmp_path / "new" / "file.json", {"a": object()})
    assert json.loads((tmp_path / "new" / "file.json").read_text()) == {"a": 1.5}


WRITER = """
import os, sys, time
from pinas_mm import files
os.fsync = lambda file: time.sleep(60)
files.write_atomically(sys.argv[1], b"half")
"""


def test_what_a_killed_write_left_is_removed_and_no_other(tmp_path):
    for other in (".hidden.tmp", "epoch_1.pth", ".epoch_1.pth.tmp", "a.12.tmp"):
        (tmp_path / other).touch()
    (tmp_path / ".folder.12.tmp").mkdir()
    kept = set(tmp_path.iterdir())
    (tmp_path / ".epoch_1.pth.1.tmp").touch()
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "epoch_2.pth")]) as writer:
        while not list(tmp_path.glob(".epoch_2.pth.*.tmp")):
            time.sleep(0.01)
        time.sleep(0.1)
        # Its writer is alive.
        assert [path.name for path in remove_left_over(tmp_path)] == [".epoch_1.pth.1.tmp"]
        writer.send_signal(signal.SIGKILL)
    (left,) = set(tmp_path.iterdir()) - kept
    assert left.name == f".epoch_2.pth.{writer.pid}.tmp"
    assert remove_left_over(tmp_path) == [left]
    assert set(tmp_path.iterdir()) == kept
    assert not remove_left_over(tmp_path / "nothing")


def look(folder, start, number):
    for one in range(number):
        start.wait()
        check_writable(folder / str(one), "--work-dir")


def test_processes_that_look_at_a_folder_at_once_do_not_disturb_each_other(tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Barrier(8, timeout=60)
    several = [context.Process(target=look, args=(tmp_path, start, 200)) for _ in range(8)]
    for process in several:
        process.start()
    for process in several:
        process.join()
    assert [process.exitcode for process in several] == [0] * 8
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_that_cannot_be_written_leaves_nothing_and_says_so(tmp_path, monkeypatch):
    check_writable(tmp_path / "new", "--work-dir")
    assert not list((tmp_path / "new").iterdir())
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "a\0b"):
        with pytest.raises(UserError, match=r"cannot be written .*: choose another --work-dir"):
            check_writable(folder, "--work-dir")
