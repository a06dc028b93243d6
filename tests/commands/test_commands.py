"""Every command is a tool of this repository, and says its options before it loads libraries."""

import subprocess
import sys
from importlib import import_module

import pytest
import torch.distributed
from conftest import PROJECT, REPOSITORY

from pinas_mm.commands.command import command

SCRIPTS = PROJECT["scripts"]
MODULES = [script.partition(":")[0] for script in SCRIPTS.values()]
# What --help need not wait for; NumPy is mmengine's, whose options ours are.
HEAVY = {"torch", "scipy", "sklearn", "mmcv", "mmpretrain", "mmdet", "mmseg"}
HEAVY |= {"optuna", "matplotlib", "cv2", "PIL", "onnx", "jinja2", "pycocotools", "tensorboard"}
HELP = """
import contextlib, io, sys
from importlib import import_module
for name in sys.argv[1:]:
    sys.argv = [name, "--help"]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        import_module(name).main()
    print(name, *sys.modules)
"""


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_command_is_a_tool(name):
    module, _, function = SCRIPTS[name].partition(":")
    tool = REPOSITORY / "tools" / f"{module.rpartition('.')[2]}.py"
    assert name == f"pinas-{tool.stem.replace('_', '-')}"
    assert f"from {module} import {function}\n" in tool.read_text()
    assert callable(getattr(import_module(module), function))


def test_help_loads_no_library():
    command = [sys.executable, "-c", HELP, *MODULES]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, *_ in lines] == MODULES
    assert not [(name, HEAVY & {*loaded}) for name, *loaded in lines if HEAVY & {*loaded}]


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_says_what_the_command_does(name, monkeypatch, capsys):
    module = import_module(SCRIPTS[name].partition(":")[0])
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: {name} ")
    assert module.__doc__.split()[0] in out


def test_a_bad_option_is_a_line(monkeypatch, capsys):
    train = import_module("pinas_mm.commands.train")
    monkeypatch.setattr("sys.argv", ["pinas-train", "--no-such-option", "config.py"])
    with pytest.raises(SystemExit) as end:
        train.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "error: unrecognized arguments: --no-such-option; see pinas-train --help\n"
    )


def test_a_command_leaves_its_process_group(tmp_path):
    # Else one of some ten processes is aborted at its end on a machine that is busy.
    def main():
        store = f"file://{tmp_path}/store"
        torch.distributed.init_process_group("gloo", store, rank=0, world_size=1)

    command(main)()
    assert not torch.distributed.is_initialized()
