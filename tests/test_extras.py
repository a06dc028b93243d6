"""Without mmdet, mmseg and what a search needs, the rest works, and what does not says why."""

import os
import subprocess
import sys

import pytest
from conftest import CONFIGS, REPOSITORY

pytestmark = pytest.mark.slow

# Before everything else: as if the modules were not installed.
BLOCK = """
import runpy, sys

class Hidden:
    def __init__(self, finder, names):
        self.finder, self.names = finder, names

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in self.names
        return None if hidden else self.finder.find_spec(name, path, target)

names, *sys.argv = sys.argv[1:]
sys.meta_path[:] = [Hidden(finder, names.split(",")) for finder in sys.meta_path]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
MASK_RCNN = "configs/coco/mask-rcnn_pinas-trans_fpn_syncbn_ms-90k_coco.py"
SEARCH = "optuna,sklearn,threadpoolctl,jinja2"


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """A script that runs another one without some modules."""
    path = tmp_path_factory.mktemp("scripts") / "without.py"
    path.write_text(BLOCK)
    return path


@pytest.fixture
def without(script, digits, tmp_path):
    """Runs a tool in a process in which modules are missing."""

    def run(names: str, tool: str, *arguments) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, script, names, REPOSITORY / "tools" / tool, *map(str, arguments)],
            cwd=REPOSITORY,
            env={**os.environ, "PINAS_DATA": str(digits), "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def test_a_supernet_trains_is_searched_and_exported_without_mmdet_and_mmseg(without, tmp_path):
    names = "mmdet,mmseg,pycocotools,ftfy,regex,onnx,onnxruntime"
    work, found = tmp_path / "work", tmp_path / "found"
    one = ("--cfg-options", "train_cfg.max_epochs=1")
    done = without(names, "train.py", CONFIGS / "small_supernet.py", "--work-dir", work, *one)
    assert done.returncode == 0, done.stderr
    assert (work / "epoch_1.pth").is_file()
    config = CONFIGS / "small_search_label_free.py"
    options = ("--trials", 4, "--work-dir", found)
    done = without(names, "search.py", config, work, *options)
    assert done.returncode == 0, done.stderr
    arguments = ("--arch", "31-2", "--supernet", work, "--config", CONFIGS / "small_supernet.py")
    done = without(names, "export.py", *arguments, "--out", tmp_path / "best.pth")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "best.pth").is_file()


def test_a_supernet_trains_without_what_a_search_needs(without, tmp_path):
    names = f"mmdet,mmseg,{SEARCH}"
    work = tmp_path / "work"
    one = ("--cfg-options", "train_cfg.max_epochs=1")
    done = without(names, "train.py", CONFIGS / "small_supernet.py", "--work-dir", work, *one)
    assert done.returncode == 0, done.stderr
    assert (work / "epoch_1.pth").is_file()


@pytest.mark.parametrize(
    ("names", "arguments", "extra"),
    [
        (SEARCH, ("search.py", CONFIGS / "small_search.py", "untrained"), "search"),
        ("mmdet", ("train.py", MASK_RCNN), "det"),
        ("mmdet", ("train.py", "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"), "det"),
        ("mmseg", ("train.py", "mmseg::fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py"), "seg"),
    ],
)
def test_what_is_missing_is_said_in_one_line(without, tmp_path, names, arguments, extra):
    done = without(names, *arguments, "--work-dir", tmp_path / "work")
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert f'pip install "pinas_mm[{extra}]"' in last
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "work").exists()
