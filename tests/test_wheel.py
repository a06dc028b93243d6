"""A wheel has everything: commands, configs and tools, the index that mim reads."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from configparser import ConfigParser

import pytest
from conftest import PROJECT, REPOSITORY
from modelindex.load_model_index import load

from pinas_mm.data.digits import prepare

MASK_RCNN = "coco/mask-rcnn_pinas-trans_fpn_syncbn_ms-90k_coco.py"
CONFIGS = {str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("configs/**/*.py")}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that the wheel is installed into, without what it requires."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for folder in ("pinas_mm", "configs", "tools", "requirements"):
        shutil.copytree(
            REPOSITORY / folder, source / folder, symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )  # fmt: skip
    for file in ("pyproject.toml", "model-index.yml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / file, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(site), str(source)]
    subprocess.run([*pip, *options], check=True, capture_output=True, timeout=300)
    return site


@pytest.fixture
def run(site, tmp_path):
    """Runs a program as one who has only the wheel; what it prints."""

    def run(*command: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(site)}
        environment.pop("PINAS_DATA", None)  # mmengine tells where configs use it.
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_it_has_the_package_its_types_and_its_license(site):
    (info,) = site.glob("pinas_mm-*.dist-info")
    assert (site / "pinas_mm/py.typed").is_file()
    assert len(list(info.rglob("LICENSE"))) == 1
    assert not any(path.is_symlink() for path in (site / "pinas_mm").rglob("*"))
    described = (info / "METADATA").read_text()
    assert "Classifier: License :: OSI Approved :: Apache Software License\n" in described
    assert "Requires-Dist: mmcv" in described


def test_its_commands_are_those_of_pyproject(site, run):
    (info,) = site.glob("pinas_mm-*.dist-info")
    points = ConfigParser()
    points.read(info / "entry_points.txt")
    scripts = PROJECT["scripts"]
    assert dict(points["console_scripts"]) == scripts
    for name in scripts:
        assert (site / "bin" / name).is_file()
    assert run(sys.executable, str(site / "bin/pinas-train"), "--help").startswith(
        "usage: pinas-train "
    )


def test_it_has_all_configs_and_tools_and_the_index(site):
    mim = site / "pinas_mm/.mim"
    assert {str(path.relative_to(mim)) for path in mim.glob("configs/**/*.py")} == CONFIGS
    tools = {path.name for path in (mim / "tools").iterdir()}
    assert {path.name for path in (REPOSITORY / "tools").glob("*.*")} <= tools
    index = load(str(mim / "model-index.yml"))
    index.build_models_with_collections()
    assert all((mim / model.config).is_file() for model in index.models)


def test_mim_finds_every_config_by_its_name(site):
    # mim train, test and search look for the file's name alone, in all of the package.
    names = Counter(path.name for path in (site / "pinas_mm").rglob("*.py"))
    wanted = [config.rpartition("/")[2] for config in CONFIGS if "/_base_/" not in config]
    assert not [name for name in wanted if names[name] != 1]


DETECTOR = """
_base_ = ["pinas_mm::demo/transfer_mask_rcnn.py"]
model = dict(
    backbone=dict(arch="{arch}", init_cfg=dict(type="Pretrained", checkpoint="winner.pth"))
)
train_cfg = dict(max_iters=2)
"""
CHECK = f"""
import mmpretrain, pinas_mm
from mmengine.config import Config
from mmengine.hub import get_config
from pinas_mm.engine.config import read_config
print(pinas_mm.__file__)
print(mmpretrain.list_models("pinas"))
print(Config.fromfile("child.py").model.backbone.arch)
print(get_config("pinas_mm::{MASK_RCNN}").model.backbone.arch)
print(read_config("demo.py").model.type, read_config("configs/spos.py").filename)
"""


def test_its_configs_are_bases_and_arguments(site, run, tmp_path):
    (tmp_path / "child.py").write_text(f"_base_ = ['pinas_mm::{MASK_RCNN}']\n")
    (tmp_path / "demo.py").write_text("_base_ = ['pinas_mm::demo/digits_supernet.py']\n")
    assert run(sys.executable, "-c", CHECK).splitlines()[-5:] == [
        str(site / "pinas_mm/__init__.py"),
        "['pinas-cls_32xb64_in1k', 'pinas-trans_32xb64_in1k']",
        "pinas_trans",
        "pinas_trans",
        f"pinas_mm.PiNAS {site / 'pinas_mm/.mim/configs/spos.py'}",
    ]


@pytest.mark.slow
def test_its_commands_go_the_whole_way(site, run, tmp_path, tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    list(prepare(data, ["fragments", "coco"], train=128, val=32))

    def pinas(tool: str, *words: str) -> str:
        return run(
            "env", f"PINAS_DATA={data}", sys.executable, str(site / f"bin/pinas-{tool}"), *words
        )

    two = ["--cfg-options", "train_cfg.max_epochs=2", "train_dataloader.dataset.dataset.indices=64"]
    pinas("train", "pinas_mm::demo/digits_supernet.py", *two)
    pinas("train", "pinas_mm::demo/digits_linear.py", *two)
    few = ["--trials", "2", "--cfg-options", "search.calibration_batches=2"]
    few.append("search.calibration_dataloader.batch_size=10")
    pinas("search", "pinas_mm::demo/digits_search.py", "work_dirs/digits_linear", *few)
    supernet, best = "work_dirs/digits_supernet", "work_dirs/digits_search"
    pinas("export", "--best", best, "--supernet", supernet, "--out", "winner.pth")
    arch = (tmp_path / best / "best.txt").read_text().strip()
    (tmp_path / "detector.py").write_text(DETECTOR.format(arch=arch))
    pinas("train", "detector.py")
    assert "iter_2.pth" in (tmp_path / "work_dirs/detector/last_checkpoint").read_text()
