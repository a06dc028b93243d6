"""tools/test.py as a user runs it."""

import json
import math

import cv2
import pytest
import torch
from conftest import CONFIGS, NAMES, REPOSITORY, pinas_model, save_model
from mmengine.config import Config
from shrink import random_weights, shrink

from pinas_mm.export.subnet import network_config

DEEPLABV3 = "deeplabv3_pinas-{}-d8_4xb4-160k_ade20k-480x480.py"


@pytest.mark.parametrize("network", ["trans", "supernet"])
def test_segmentors_are_tested_at_many_scales(tool, layouts, monkeypatch, tmp_path, network):
    monkeypatch.setenv("PINAS_DATA", str(layouts))
    config = shrink(Config.fromfile(REPOSITORY / "configs/ade20k" / DEEPLABV3.format(network)))
    network_config(config).pop("init_cfg", None)
    config.experiment_name = next(NAMES)
    config.dump(tmp_path / "config.py")
    weights = random_weights(config, tmp_path / "weights.pth")
    out = tmp_path / "metrics.json"
    arguments = (tmp_path / "config.py", weights, "--work-dir", tmp_path / "work", "--out", out)
    status, _, err = tool("test.py", *arguments, "--tta")
    assert status == 0, err
    metrics = json.loads(out.read_text())
    names = {"aAcc", "mIoU", "mAcc"}
    # Of several architectures their mean and deviation.
    deviations = {f"{name}_std" for name in names} if network == "supernet" else set()
    assert names | deviations == set(metrics)
    assert all(math.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize(
    "name",
    [
        "imagenet/pinas-cls_32xb64_in1k.py",
        "coco/mask-rcnn_pinas-trans_fpn_syncbn_ms-90k_coco.py",
        "ade20k/deeplabv3_pinas-trans-d8_4xb4-160k_ade20k-480x480.py",
    ],
)
def test_every_test_image_is_drawn(tool, layouts, monkeypatch, tmp_path, name):
    monkeypatch.setenv("PINAS_DATA", str(layouts))
    config = shrink(Config.fromfile(REPOSITORY / "configs" / name))
    config.experiment_name = config.visualizer.name = next(NAMES)
    config.dump(tmp_path / "config.py")
    weights = random_weights(config, tmp_path / "weights.pth")
    pictures = tmp_path / "pictures"
    arguments = (tmp_path / "config.py", weights, "--work-dir", tmp_path / "work")
    status, _, err = tool("test.py", *arguments, "--show-dir", pictures)
    assert status == 0, err
    drawn = [cv2.imread(str(file)) for file in pictures.rglob("*.*g")]
    assert len(drawn) == 2  # the layouts' validation images
    assert all(picture.std() > 0 for picture in drawn)


def test_what_cannot_be_drawn(tool, tmp_path):
    config = REPOSITORY / "configs/pinas_supernet.py"
    status, _, err = tool("test.py", config, tmp_path / "any.pth", "--show-dir", tmp_path / "out")
    assert status == 2
    assert err.splitlines()[-1].startswith("error: --show-dir draws predictions of mmpretrain,")
    assert "RetrievalLoop" in err


def test_pictures_that_cannot_be_written_cost_no_test(tool, tmp_path):
    config = REPOSITORY / "configs/imagenet/pinas-cls_32xb64_in1k.py"
    file = tmp_path / "file"
    file.touch()
    status, _, err = tool("test.py", config, tmp_path / "any.pth", "--show-dir", file / "pictures")
    assert status == 2
    assert "cannot be written (Not a directory): choose another --show-dir" in err.splitlines()[-1]


def test_augmentation_that_the_config_does_not_describe(tool, tmp_path):
    config = REPOSITORY / "configs/imagenet/pinas-cls_32xb64_in1k.py"
    status, _, err = tool("test.py", config, tmp_path / "any.pth", "--tta")
    assert status == 2
    assert err.splitlines()[-1].startswith("error: --tta needs tta_model and tta_pipeline")


def test_weights_of_another_architecture_are_refused(tool, layouts, monkeypatch, tmp_path):
    monkeypatch.setenv("PINAS_DATA", str(layouts))
    config = shrink(Config.fromfile(REPOSITORY / "configs/imagenet/pinas-cls_32xb64_in1k.py"))
    weights = random_weights(config, tmp_path / "cls.pth")

    def test(arch):
        config.model.backbone.arch, config.experiment_name = arch, next(NAMES)
        config.dump(tmp_path / "config.py")
        status, _, err = tool("test.py", tmp_path / "config.py", weights, "--work-dir", tmp_path)
        return status, err

    assert test("pinas_cls")[0] == 0
    status, err = test("pinas_trans")
    assert status == 2
    fault = "is of architecture 301-3231-203213-032, not 333-3113-330011-021: at block 1 (layer1.1)"
    assert fault in err.splitlines()[-1]


def test_a_supernet_is_tested_with_no_validation_configured(tool, tmp_path):
    torch.save(dict(state_dict=pinas_model().state_dict()), tmp_path / "supernet.pth")
    out = tmp_path / "metrics.json"
    nothing = [f"val_{part}=None" for part in ("cfg", "dataloader", "evaluator")]
    status, _, err = tool(
        "test.py",
        CONFIGS / "small_supernet.py",
        tmp_path / "supernet.pth",
        *("--work-dir", tmp_path / "work", "--out", out),
        *("--cfg-options", f"experiment_name={next(NAMES)}", *nothing),
    )
    assert status == 0, err
    # All paths agree at the start: each of the 8 images is found along every other path.
    assert json.loads(out.read_text())["retrieval/top1"] > 100 / 8


@pytest.mark.parametrize("name", ["weights.pth", "config.py"])
def test_what_is_read_is_not_written_over(tool, tmp_path, name):
    (tmp_path / "config.py").write_text(f"_base_ = ['{CONFIGS / 'small_classifier.py'}']")
    save_model("small_classifier.py", tmp_path / "weights.pth")
    before = (tmp_path / name).read_bytes()
    # A work dir is its last checkpoint.
    for weights in (tmp_path / "weights.pth", tmp_path):
        arguments = tmp_path / "config.py", weights, "--work-dir", tmp_path / "work"
        status, _, err = tool("test.py", *arguments, "--out", tmp_path / name)
        assert status == 2
        assert f"{name} is to be read and written: give another name" in err.splitlines()[-1]
    assert (tmp_path / name).read_bytes() == before


def test_metrics_that_are_tensors_are_written_as_lists(tool, tmp_path):
    save_model("small_classifier.py", tmp_path / "weights.pth")
    out = tmp_path / "metrics.json"
    status, _, err = tool(
        "test.py",
        CONFIGS / "small_classifier.py",
        tmp_path / "weights.pth",
        *("--work-dir", tmp_path / "work", "--out", out, "--cfg-options"),
        *(f"experiment_name={next(NAMES)}", "test_evaluator.type=ConfusionMatrix"),
    )
    assert status == 0, err
    matrix = torch.tensor(json.loads(out.read_text())["confusion_matrix/result"])
    assert matrix.shape == (10, 10)
    assert matrix.sum() == 8  # the digits' validation images
