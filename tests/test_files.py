"""Files are written whole or not at all."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from pinas_mm import files
from pinas_mm.errors import UserError
from pinas_mm.files import (
    check_writable,
    put_back,
    remove_left_over,
    whole_folder,
    write_atomically,
    write_json,
    write_output,
)


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
    assert left.name.startswith(f".epoch_2.pth.{writer.pid}.")
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


def test_threads_that_write_one_file_do_not_disturb_each_other(tmp_path):
    failed, file = [], tmp_path / "one.json"

    def write(content):
        for _ in range(200):
            try:
                write_atomically(file, content)
            except OSError as error:
                failed.append(error)

    # Their process's number alone is the same, as it is in two containers.
    writers = [threading.Thread(target=write, args=(letter * 2000,)) for letter in (b"a", b"b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failed
    assert set(file.read_bytes()) in ({ord("a")}, {ord("b")})
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_have_the_modes_that_the_process_gives(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "file", b"")
        with whole_folder(tmp_path / "folder") as work:
            (work / "file").touch()
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~mask


def test_an_output_that_has_come_since_is_kept(tmp_path, monkeypatch):
    file = tmp_path / "winner.pth"
    write_output(file, b"new", replace=False)
    with pytest.raises(UserError, match=r"winner\.pth was not there before, and is now"):
        write_output(file, b"newer", replace=False)
    # Some file systems have no second names.
    monkeypatch.setattr(os, "link", lambda *names: (_ for _ in ()).throw(OSError(1, "no")))
    with pytest.raises(UserError, match=r"winner\.pth was not there before, and is now"):
        write_output(file, b"newer", replace=False)
    write_output(tmp_path / "other.pth", b"new", replace=False)
    assert file.read_bytes() == (tmp_path / "other.pth").read_bytes() == b"new"
    write_output(file, b"newer")
    assert file.read_bytes() == b"newer"
    assert {path.name for path in tmp_path.iterdir()} == {"winner.pth", "other.pth"}


@pytest.mark.parametrize("before", [False, True])
def test_what_has_come_into_a_folder_since_is_kept(tmp_path, before):
    folder = tmp_path / "winner"
    if before:
        folder.mkdir()
        (folder / "winner.py").write_text("old")

    def written():
        with whole_folder(folder) as work:
            (work / "winner.py").write_text("new")
            folder.mkdir(exist_ok=True)
            (folder / "notes.txt").write_text("mine")

    with pytest.raises(UserError, match="has changed since this began, and stays") as raised:
        written()
    names = {path.name for path in folder.iterdir()}
    assert names == {"notes.txt"} | ({"winner.py"} if before else set())
    (made,) = set(tmp_path.iterdir()) - {folder}
    assert str(made) in str(raised.value)
    assert (made / "winner.py").read_text() == "new"


SWAPPER = """
import os, pathlib, sys
from pinas_mm import files
folder = pathlib.Path(sys.argv[1])
rename = pathlib.Path.rename

def once(path, target):
    rename(path, target)
    if path == folder:
        os.kill(os.getpid(), 9)

pathlib.Path.rename = once
with files.whole_folder(folder) as work:
    (work / "winner.py").write_text("new")
"""


def test_a_folder_that_a_kill_left_aside_is_put_back(tmp_path):
    folder = tmp_path / "winner"
    folder.mkdir()
    (folder / "winner.py").write_text("old")
    subprocess.run([sys.executable, "-c", SWAPPER, str(folder)], check=False)
    assert not folder.exists()
    (aside,) = tmp_path.glob(".winner.*.old")
    # Who is at it holds it.
    with files._held(aside):
        put_back(folder)
    assert not folder.exists()
    put_back(folder)
    assert (folder / "winner.py").read_text() == "old"
    with whole_folder(folder) as work:
        (work / "winner.py").write_text("new")
    assert (folder / "winner.py").read_text() == "new"


def test_an_old_folder_that_a_kill_left_goes_where_the_new_one_is_there(tmp_path):
    folder, aside = tmp_path / "winner", tmp_path / ".winner.1.0123abcd.old"
    for one in (folder, aside):
        one.mkdir()
    put_back(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["winner"]
