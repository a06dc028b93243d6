"""What a record keeps of images and model: the same in every process and on every machine."""

import functools
import json

import numpy as np
import pytest
import torch
from conftest import pinas_model
from mmengine.config import Config
from mmengine.registry import init_default_scope
from single_paths import single_path
from whole_models import detector

from pinas_mm.search.search import _of_images, _of_model, _plain, _roots


class Plain:
    """An object that shows only where it lies in memory."""


def collate(batch):
    return batch


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (collate, f"{__name__}.collate"),
        (Plain, f"{__name__}.Plain"),
        (Plain(), f"<{__name__}.Plain object>"),
        (functools.partial(collate, 1), "functools.partial(<function collate>, 1)"),
        ((1, (2.5, None)), [1, [2.5, None]]),
        ({"data_root": "/here", "split": "val"}, {"split": "val"}),
        ({Plain: np.float32(0.5), 1: np.arange(2)}, {f"{__name__}.Plain": 0.5, "1": [0, 1]}),
    ],
)
def test_nothing_of_this_process_or_machine_is_kept(value, kept):
    loader = dict(dataset=dict(x=value), batch_size=2, num_workers=3)
    found = _of_images(loader)
    assert found == dict(dataset=dict(x=kept), batch_size=2, shuffle=False)
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("below", ["coco", "coco/"])
@pytest.mark.parametrize("variable", [True, False], ids=["below PINAS_DATA", "elsewhere"])
def test_a_path_is_told_from_the_folder_of_its_data(below, variable, monkeypatch):
    def said(folder):
        monkeypatch.delenv("PINAS_DATA", raising=False)
        if variable:
            monkeypatch.setenv("PINAS_DATA", folder)
        # As PINAS_DATA without the set's own folder: nothing but the images lies below that.
        loader = dict(dataset=dict(type="Part", dataset=dict(data_root=f"{folder}/{below}")))
        found = dict(
            metrics=[dict(ann_file=f"{folder}/coco/annotations/val.json", metric="coco")],
            other=f"{folder}/lists/some.txt",
        )
        return _plain(found, _roots(loader, {}))

    there = said("/mnt/b")
    assert there["metrics"] == [dict(ann_file="annotations/val.json", metric="coco")]
    if variable:
        # Also where the folder is the usual one, which a config names from where it runs.
        monkeypatch.delenv("PINAS_DATA")
        assert said("/data/a") == there == said("data")
    else:
        assert said("/data/a") != there


def test_which_images_are_drawn_is_kept():
    loader = dict(dataset=dict(x=1), batch_size=2)
    drawn, first = (
        _of_images({**loader, "sampler": dict(type="DefaultSampler", shuffle=shuffle)})
        for shuffle in (True, False)
    )
    assert (drawn["shuffle"], first["shuffle"]) == (True, False)
    # As mmengine's does that is not told.
    assert _of_images({**loader, "sampler": dict(type="DefaultSampler")}) == drawn
    assert _of_images({}) == {}


def test_the_usual_memory_format_is_not_kept_as_before_it_could_be_another():
    usual, other = pinas_model(), pinas_model(**{"backbone.memory_format": "contiguous_format"})
    assert "memory_format" not in _of_model(usual)["network"]
    assert _of_model(other)["network"]["memory_format"] == "contiguous_format"


def test_of_a_pretraining_model_what_no_weight_says_is_kept():
    said = _of_model(pinas_model())
    assert json.loads(json.dumps(said)) == json.loads(json.dumps(_of_model(pinas_model())))
    for change in (
        {"data_preprocessor.mean": [1.0, 2.0, 3.0]},
        {"data_preprocessor.to_rgb": False},
        {"data_preprocessor.augment.scale": (0.5, 1.0)},
        {"backbone.norm_cfg": dict(type="BN", eps=1e-3)},
        {"backbone.dilations": (1, 2)},
    ):
        assert _of_model(pinas_model(**change)) != said, change


def test_of_a_detector_what_no_weight_says_is_kept(space):
    def said(**changes):
        init_default_scope("mmpretrain")
        config = Config(dict(model=detector(space)))
        config.merge_from_dict({f"model.{name}": value for name, value in changes.items()})
        return _of_model(single_path(config.model, torch.float32))

    usual = said()
    assert json.loads(json.dumps(usual)) == json.loads(json.dumps(said()))
    for change in (
        {"data_preprocessor.mean": [1.0] * 3},
        {"data_preprocessor.bgr_to_rgb": True},
        {"data_preprocessor.pad_size_divisor": 32},
        {"test_cfg.score_thr": 0.5},
        {"backbone.dilations": (1, 2)},
    ):
        assert said(**change) != usual, change


def test_the_number_of_processes_makes_no_other_search(space, monkeypatch):
    """mmdet's augmentation of batches remembers it; it runs in training only."""

    def said():
        init_default_scope("mmpretrain")
        config = detector(space)
        config.data_preprocessor.batch_augments = [
            dict(type="BatchSyncRandomResize", random_size_range=(32, 64))
        ]
        return _of_model(single_path(config, torch.float32))

    alone = said()
    monkeypatch.setattr(
        "mmdet.models.data_preprocessors.data_preprocessor.get_dist_info", lambda: (1, 2)
    )
    assert said() == alone
