"""The installation says what it cannot work with before it makes anything."""

import os
import shutil
import subprocess

import pytest
from conftest import REPOSITORY


@pytest.mark.parametrize(
    ("stack", "python", "said"),
    [
        ("nothing", "python3", "there is no stack nothing: STACK is default, classic or forks"),
        ("libraries", "python3", "there is no stack libraries: STACK is default, classic or"),
        ("default", "/bin/false", "the default stack is for Python 3.10 to 3.12, /bin/false is"),
        ("classic", "/bin/false", "the classic stack is for Python 3.10 to 3.11, /bin/false is"),
        ("forks", "/nothing/python", "the forks stack is for Python 3.10 to 3.12, /nothing/python"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(tmp_path, stack, python, said):
    done = subprocess.run(
        ["bash", REPOSITORY / "tools" / "install.sh", tmp_path / "venv"],
        env={**os.environ, "STACK": stack, "PYTHON": python},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(said)
    assert not (tmp_path / "venv").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("free", "told"), [(2 * 2**20, True), (200 * 2**20, False)])
def test_a_full_disk_is_told_before_gigabytes_are_fetched(tmp_path, free, told):
    (tmp_path / "df").write_text(f"#!/bin/sh\necho head\necho disk 0 0 {free} 99% /\n")
    (tmp_path / "df").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", REPOSITORY / "tools" / "install.sh", tmp_path / "venv"],
        # Nothing can be fetched: the installation ends at its first package.
        env={**os.environ, "PATH": path, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert "torch<2.9" in done.stderr
    assert ("little room" in done.stdout) == told
    assert not told or "(free: 2 GB), and pip 3 GB more" in done.stdout


def test_an_environment_of_another_clone_is_installed_anew(tmp_path):
    # Its package is the other clone's, whose code would be run in silence.
    clones = [tmp_path / name for name in ("one", "other")]
    for clone in clones:
        (clone / "tools").mkdir(parents=True)
        for name in ("requirements", "constraints"):
            shutil.copytree(REPOSITORY / name, clone / name)
        for name in ("pyproject.toml", "tools/install.sh"):
            shutil.copyfile(REPOSITORY / name, clone / name)
    # What the script writes at its end, without what it does before.
    script = (clones[0] / "tools" / "install.sh").read_text()
    begin, rest = script.split('if [ -f "$stamp" ]', 1)
    (clones[0] / "tools" / "stamp.sh").write_text(begin + rest.splitlines()[-2])

    def run(clone, name):
        command = ["bash", clone / "tools" / name, tmp_path / "venv"]
        environment = {**os.environ, "PYTHON": "/nothing/python"}
        return subprocess.run(command, env=environment, capture_output=True, timeout=60).returncode

    (tmp_path / "venv").mkdir()
    assert run(clones[0], "stamp.sh") == 0
    assert run(clones[0], "install.sh") == 0
    assert run(clones[1], "install.sh") == 2
