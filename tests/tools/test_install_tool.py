"""The installation says what it cannot work with before it makes anything."""

import os
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
