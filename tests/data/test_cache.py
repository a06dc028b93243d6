"""The cache reads each file once and hands out samples that may be changed."""

import shutil

import pytest
import torch
from mmpretrain.registry import DATASETS

from pinas_mm.data.cache import CachedDataset

PIPELINE = [dict(type="pinas_mm.LoadImage"), dict(type="PackInputs", _scope_="mmpretrain")]


@pytest.fixture
def dataset(digits, tmp_path):
    root = tmp_path / "imagenet"
    shutil.copytree(digits / "imagenet", root)
    return dict(
        type="ImageNet", _scope_="mmpretrain", data_root=str(root), split="val", pipeline=PIPELINE
    )


def test_samples_are_the_wrapped_datasets(dataset):
    plain, cached = DATASETS.build(dataset), CachedDataset(dataset)
    assert len(cached) == len(plain) == 8
    assert cached.metainfo == plain.metainfo
    for index in (3, 0, 3):
        assert torch.equal(cached[index]["inputs"], plain[index]["inputs"])
        assert cached[index]["data_samples"].gt_label == plain[index]["data_samples"].gt_label
        assert cached.get_data_info(index) == plain.get_data_info(index)


def test_files_are_read_once(dataset):
    cached = CachedDataset(dataset)
    first = [cached[index]["inputs"] for index in range(4)]
    shutil.rmtree(dataset["data_root"])
    assert all(torch.equal(cached[index]["inputs"], first[index]) for index in range(4))
    with pytest.raises(ValueError, match="cannot read image"):
        cached[4]


def test_what_a_model_writes_does_not_stay(dataset):
    cached = CachedDataset(dataset)
    cached[0]["data_samples"].set_pred_label(3)
    cached[0].pop("inputs")
    assert "pred_label" not in cached[0]["data_samples"]
    assert "inputs" in cached[0]


def test_annotations_can_be_loaded_later(dataset):
    cached = CachedDataset(dict(dataset, lazy_init=True), lazy_init=True)
    shutil.move(dataset["data_root"], f"{dataset['data_root']}.moved")
    shutil.move(f"{dataset['data_root']}.moved", dataset["data_root"])
    cached.full_init()
    assert len(cached) == 8


def test_it_is_built_from_a_config(dataset):
    cached = DATASETS.build(dict(type="pinas_mm.CachedDataset", dataset=dataset))
    assert isinstance(cached, CachedDataset)
