"""A file is there whole or not at all, also when the process is killed while it writes."""

import os
import subprocess
import sys

import pytest
from mmengine.fileio import get_file_backend

from pinas_mm.engine.atomic_backend import AtomicLocalBackend
from pinas_mm.files import write_atomically

SIZE = 40_000_000
WRITER = f"""
import itertools, sys
from pinas_mm.files import write_atomically
for number in itertools.count():
    write_atomically(sys.argv[1], bytes([number % 256]) * {SIZE})
"""


def in_the_middle(folder):
    """Whether a file there, whatever its name, is partly written."""
    for file in os.scandir(folder):
        try:
            if 0 < file.stat().st_size < SIZE:
                return True
        except FileNotFoundError:
            continue
    return False


def test_a_killed_writer_leaves_a_whole_file(tmp_path):
    path = tmp_path / "file"
    process = subprocess.Popen([sys.executable, "-c", WRITER, path])
    while not path.exists() or path.stat().st_size < SIZE:
        assert process.poll() is None
    while not in_the_middle(tmp_path):
        assert process.poll() is None
    process.kill()
    process.wait()
    content = path.read_bytes()
    assert len(content) == SIZE
    assert len(set(content)) == 1


def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_folders_are_made(tmp_path):
    write_atomically(tmp_path / "a" / "b" / "file", b"x")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"x"


def test_mmengine_finds_the_backend_by_name(tmp_path):
    backend = get_file_backend(backend_args=dict(backend="atomic"))
    assert isinstance(backend, AtomicLocalBackend)
    backend.put(memoryview(b"bytes"), tmp_path / "bytes")
    backend.put_text("text é", tmp_path / "text")
    assert backend.get(tmp_path / "bytes") == b"bytes"
    assert backend.get_text(tmp_path / "text") == "text é"
