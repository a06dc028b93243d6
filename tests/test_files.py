"""Files are written whole or not at all."""

import json
import signal
import subprocess
import sys
import time

import pytest

from pinas_mm.files import remove_left_over, write_json


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
