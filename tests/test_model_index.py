"""Our configs where mim, mmpretrain and mmengine look for a package's."""

import os
import shutil
import subprocess
import sys

import mmpretrain
import pytest
import torch
from conftest import REPOSITORY
from modelindex.load_model_index import load

from pinas_mm.models.cost import count_costs
from pinas_mm.space import SearchSpace

pytestmark = pytest.mark.slow

CLASSIFIERS = ["pinas-cls_32xb64_in1k", "pinas-trans_32xb64_in1k"]
FOLDERS = "imagenet", "coco", "ade20k", "cityscapes"
PUBLISHED = {
    "pinas-cls_32xb64_in1k": [81.6, 95.7],
    "mask-rcnn_pinas-trans_fpn_syncbn_ms-90k_coco": [44.07, 39.50],
    "deeplabv3_pinas-trans-d8_4xb4-160k_ade20k-480x480": [81.27, 45.47],
    "deeplabv3_pinas-trans-d8_4xb2-80k_cityscapes-768x768": [80.70],
}
MASK_RCNN = "coco/mask-rcnn_pinas-trans_fpn_syncbn_ms-90k_coco.py"


@pytest.fixture(scope="module")
def models():
    index = load(str(REPOSITORY / "model-index.yml"))
    index.build_models_with_collections()
    assert index.check(silent=False) is None
    return {model.name: model for model in index.models}


def test_every_config_is_in_the_index_by_its_name(models):
    # Supernets and their searches are no networks yet.
    configs = {
        path.stem: path
        for name in FOLDERS
        for path in REPOSITORY.glob(f"configs/{name}/*.py")
        if "pinas-supernet" not in path.name
    }
    assert {name: REPOSITORY / model.config for name, model in models.items()} == configs


def test_figures_are_the_published_ones_and_say_so(models):
    figures = {}
    for name, model in models.items():
        for result in model.results.data if model.results else []:
            assert all(metric.endswith(" (published)") for metric in result.metrics)
            figures[name] = list(result.metrics.values())
    assert figures == PUBLISHED
    assert not any(model.weights for model in models.values())


def test_mmpretrain_lists_and_builds_classifiers(models):
    assert mmpretrain.list_models("pinas") == CLASSIFIERS
    costs = count_costs(SearchSpace(), 224, num_classes=1000)
    for name in CLASSIFIERS:
        model = mmpretrain.get_model(name)
        metadata = models[name].metadata
        assert sum(weight.numel() for weight in model.parameters()) == metadata.parameters
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
        assert costs.cost(model.backbone.arch).macs == pytest.approx(metadata.flops, rel=1e-4)
    model = mmpretrain.get_model(CLASSIFIERS[0], backbone=dict(arch="000-0000-000000-000"))
    assert set(model.backbone.arch) == {0}


CHECK = f"""
import mmpretrain, pinas_mm
from mmengine.config import Config
from mmengine.hub import get_config
print(pinas_mm.__file__)
print(mmpretrain.list_models("pinas"))
print(Config.fromfile("child.py").model.backbone.arch)
print(get_config("pinas_mm::{MASK_RCNN}").model.backbone.arch)
"""


def test_a_wheel_carries_configs_and_tools(tmp_path):
    source, site = tmp_path / "source", tmp_path / "site"
    for folder in ("pinas_mm", "configs", "tools", "requirements"):
        shutil.copytree(
            REPOSITORY / folder, source / folder, symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )  # fmt: skip
    for file in ("pyproject.toml", "model-index.yml"):
        shutil.copy(REPOSITORY / file, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(site), str(source)]
    subprocess.run([*pip, *options], check=True, capture_output=True, timeout=300)
    assert (site / "pinas_mm/.mim/tools/train.py").is_file()
    assert not any(path.is_symlink() for path in (site / "pinas_mm").rglob("*"))
    (tmp_path / "child.py").write_text(f"_base_ = ['pinas_mm::{MASK_RCNN}']\n")
    environment = {**os.environ, "PYTHONPATH": str(site)}
    environment.pop("PINAS_DATA", None)  # mmengine tells where configs use it.
    done = subprocess.run(
        [sys.executable, "-c", CHECK],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert f"{site / 'pinas_mm/__init__.py'}\n{CLASSIFIERS}\n" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["pinas_trans"] * 2
