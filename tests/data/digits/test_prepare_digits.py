"""The tool and ``prepare``: same seed same bytes, whole or nothing, errors in one line."""

import importlib.util
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pinas_mm.data.digits import prepare
from pinas_mm.data.digits.layouts import LAYOUTS
from pinas_mm.errors import UserError

TOOL = Path(__file__).resolve().parents[3] / "tools" / "prepare_digits.py"
SMALL = {"train": 4, "val": 3}


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def tool(monkeypatch, capsys):
    """Runs the tool in this process: (exit status, its output, its errors)."""
    spec = importlib.util.spec_from_file_location("prepare_digits", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["prepare_digits.py", *map(str, arguments)])
        try:
            module.main()
        except SystemExit as end:
            return end.code, *capsys.readouterr()
        return 0, *capsys.readouterr()

    return run


def test_same_seed_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        list(prepare(tmp_path / name, seed=seed, **SMALL))
    first, again, other = (contents(tmp_path / name) for name in "abc")
    assert first == again
    shared = [path for path in set(first) & set(other) if path.endswith(".jpg")]
    assert shared
    assert all(first[path] != other[path] for path in shared)


@pytest.mark.parametrize("name", LAYOUTS)
def test_fewer_images_are_the_first_of_more(tmp_path, name):
    list(prepare(tmp_path / "few", [name], train=3, val=2))
    list(prepare(tmp_path / "many", [name], train=7, val=5))
    few, many = contents(tmp_path / "few"), contents(tmp_path / "many")
    pictures = [path for path in few if path.endswith((".jpg", ".png"))]
    assert len(pictures) >= 5
    assert all(few[path] == many[path] for path in pictures)
    for path in (p for p in few if p.endswith(".txt")):
        assert many[path].startswith(few[path])
    for path in (p for p in few if "instances_" in p):
        one, two = json.loads(few[path]), json.loads(many[path])
        for key in ("images", "annotations"):
            assert two[key][: len(one[key])] == one[key]


def test_runs_from_any_directory(tmp_path):
    command = [sys.executable, TOOL, "out", "--layouts", "imagenet", "--train", "2", "--val", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "imagenet: 2 train and 1 val images of 32x32 pixels (height x width) written to "
        "out/imagenet"
    )
    assert len(list(tmp_path.rglob("*.jpg"))) == 3


def test_help_names_all_layouts(tool):
    status, output, _ = tool("--help")
    assert status == 0
    assert all(name in output for name in LAYOUTS)


def test_one_line_a_layout_and_sizes_follow(tool, tmp_path):
    status, output, errors = tool(tmp_path, "--train", 2, "--val", 1, "--size", 64)
    assert (status, errors) == (0, "")
    lines = output.splitlines()
    assert [line.split(":")[0] for line in lines] == list(LAYOUTS)
    assert [line.split(" of ")[1].split()[0] for line in lines] == [
        "64x64",
        "64x80",
        "64x64",
        "64x128",
        "64x64",
    ]


def test_a_set_with_the_same_parameters_is_kept(tool, tmp_path):
    arguments = (tmp_path, "--layouts", "coco", "--train", 2, "--val", 1)
    assert tool(*arguments)[0] == 0
    before = contents(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    status, output, _ = tool(*arguments)
    assert status == 0
    assert "were there already" in output
    assert contents(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


def test_a_set_with_other_parameters_is_refused_then_overwritten(tool, tmp_path):
    arguments = (tmp_path, "--layouts", "ade20k", "imagenet", "--train", 2, "--val", 1)
    assert tool(*arguments[:3], *arguments[4:])[0] == 0
    before = contents(tmp_path)
    status, _, errors = tool(*arguments, "--contrast", 0.5)
    assert status == 2
    assert "was made with contrast 0.15 and not 0.5" in errors
    assert "--overwrite" in errors
    # imagenet could have been written, but all is checked before anything is.
    assert contents(tmp_path) == before
    assert tool(*arguments, "--contrast", 0.5, "--overwrite")[0] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ADEChallengeData2016", "imagenet"]
    assert contents(tmp_path / "ADEChallengeData2016") != before


@pytest.mark.parametrize(
    "content", [None, "{}", '{"parameters": 3}', '{"parameters": {"layout": "coco"}}', "not JSON"]
)
def test_a_folder_of_someone_else_is_never_replaced(tool, tmp_path, content):
    folder = tmp_path / "imagenet"
    folder.mkdir()
    (folder / "precious.txt").write_text("kept")
    if content is not None:
        (folder / "provenance.json").write_text(content)
    before = contents(tmp_path)
    status, _, errors = tool(tmp_path, "--layouts", "imagenet", "--overwrite")
    assert status == 2
    assert "was not made by this tool" in errors
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--train", "100000000"], "train is 100000000, allowed are 1 to 1,000,000 images"),
        (["--train", "0"], "train is 0, allowed are 1 to 1,000,000 images"),
        (["--val", "-3"], "val is -3, allowed are 1 to 1,000,000 images"),
        (["--contrast", "1.5"], "contrast is 1.5, allowed is 0 to 1"),
        (["--contrast", "nan"], "contrast is nan, allowed is 0 to 1"),
        (["--size", "8"], "size is 8, allowed for imagenet is 16 to 2048 pixels"),
        (["--size", "32"], "size is 32, allowed for coco is 64 to 2048 pixels"),
        (["--size", "4096"], "size is 4096, allowed for imagenet is 16 to 2048 pixels"),
        (["--seed", "-1"], "seed is -1: allowed is a whole number from 0 to 4294967295"),
        (["--layouts", "voc"], "voc given, allowed are imagenet"),
        (["--train", "many"], "invalid int value: 'many'"),
    ],
)
def test_bad_arguments_give_one_line_and_write_nothing(tool, tmp_path, arguments, expected):
    status, output, errors = tool(tmp_path / "out", *arguments)
    assert status == 2
    assert not output
    assert expected in errors
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_cannot_be_made(tool, tmp_path):
    (tmp_path / "file").write_text("in the way")
    status, _, errors = tool(tmp_path / "file", "--train", 1, "--val", 1)
    assert status == 2
    assert f"cannot write {tmp_path / 'file' / 'imagenet'}: Not a directory" in errors
    assert errors.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_output_folder_that_cannot_be_named(tool, tmp_path):
    status, _, errors = tool(tmp_path / ("long" * 100), "--train", 1, "--val", 1)
    assert status == 2
    assert "File name too long" in errors
    assert errors.count("\n") == 1


def test_unknown_or_no_layouts_are_refused(tmp_path):
    with pytest.raises(UserError, match="voc given, allowed are imagenet"):
        next(prepare(tmp_path, ["voc"]))
    with pytest.raises(UserError, match="none given"):
        next(prepare(tmp_path, []))


def test_an_interrupted_set_leaves_nothing(tmp_path):
    def interrupt(name, done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(prepare(tmp_path, ["coco"], **SMALL, progress=interrupt))
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_set_whole(tmp_path):
    list(prepare(tmp_path, ["coco"], **SMALL))
    before = contents(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Images fit, the annotations do not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*coco: File too large"):
            list(prepare(tmp_path, ["coco"], seed=1, train=40, val=3, overwrite=True))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(tmp_path) == before
