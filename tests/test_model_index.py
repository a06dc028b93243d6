"""Our configs where mim, mmpretrain and mmengine look for a package's."""

from collections import Counter
from pathlib import Path

import mmpretrain
import pytest
import torch
from conftest import REPOSITORY
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from modelindex.load_model_index import load

from pinas_mm.engine.config import read_config
from pinas_mm.errors import UserError
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


@pytest.mark.parametrize("name", ["pinas_supernet.py", "demo/digits_supernet.py", "spos.py"])
def test_a_config_is_known_by_the_packages_name(name, tmp_path):
    # As in every editable install, whose place mmengine does not know.
    file = REPOSITORY / "configs" / name
    assert Path(read_config(f"pinas_mm::{name}").filename).samefile(file)
    (tmp_path / "child.py").write_text(f"_base_ = ['pinas_mm::{name}']\nwork_dir = 'mine'\n")
    child, config = Config.fromfile(tmp_path / "child.py"), Config.fromfile(file)
    assert child.pop("work_dir") == "mine"
    assert child.to_dict() == config.to_dict()


def test_bases_of_mmseg_are_found_by_its_module(tmp_path):
    # Also where a fork brings it, whose distribution has another name.
    assert MODULE2PACKAGE["mmseg"] == "mmseg"
    (tmp_path / "child.py").write_text("_base_ = ['mmseg::_base_/default_runtime.py']\n")
    assert Config.fromfile(tmp_path / "child.py").default_scope == "mmseg"


def test_no_two_configs_share_a_file_name():
    # By which alone mim finds one.
    names = Counter(file.name for file in (REPOSITORY / "configs").rglob("*.py"))
    assert set(names.values()) == {1}


def test_a_config_that_is_not_there_is_a_line():
    with pytest.raises(UserError, match=r"config pinas_mm::no\.py: .*configs/no\.py"):
        read_config("pinas_mm::no.py")
