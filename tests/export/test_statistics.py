"""Batch-norm statistics of a subnet's own."""

import pytest
import torch
from conftest import NAMES
from mmengine.config import Config
from mmengine.logging import MMLogger

from pinas_mm.engine.run_search import search_loaders
from pinas_mm.errors import UserError
from pinas_mm.export import recompute_statistics, subnet_of
from pinas_mm.export.statistics import checked_loader, tell_other_images
from pinas_mm.models.batch_norm import Statistics


@pytest.mark.parametrize("name", ["small_linear.py", "small_supernet.py"])
def test_statistics_are_recomputed_and_nothing_else_changes(checkpoint, space, config, name):
    cfg = config(name)
    backbone = subnet_of(checkpoint, "31-2", space)
    before = {n: v.clone() for n, v in backbone.state_dict().items()}
    assert recompute_statistics(backbone, cfg, batches=3) == 3
    after = backbone.state_dict()
    for key, value in before.items():
        statistic = "running" in key or "tracked" in key
        assert torch.equal(after[key], value) != statistic, key
    assert not backbone.training
    again = subnet_of(checkpoint, "31-2", space)
    recompute_statistics(again, cfg, batches=3)
    assert all(torch.equal(v, after[n]) for n, v in again.state_dict().items())


def test_statistics_are_those_of_normalized_images(checkpoint, space, config):
    backbone = subnet_of(checkpoint, "31-2", space)
    # Five batches asked for, four there are; each of the 16 images in one of them.
    assert recompute_statistics(backbone, config("small_linear.py"), batches=5) == 4
    cfg = config("small_supernet.py")
    self_supervised = subnet_of(checkpoint, "31-2", space)
    assert recompute_statistics(self_supervised, cfg, batches=5) == 4
    # Both preprocessors normalize alike, and unaugmented: an average over all images agrees.
    for one, other in zip(
        backbone.conv1[1].buffers(), self_supervised.conv1[1].buffers(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0.02, atol=1e-3)


def test_statistics_equal_the_paths_in_the_supernet(supernet, checkpoint, space):
    images = [torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(i)) for i in (1, 2)]
    backbone = subnet_of(checkpoint, "31-2", space)
    Statistics(backbone, backbone, images).write()
    path = Statistics(supernet, lambda batch: supernet(batch, "31-2"), images)
    with torch.no_grad(), path.applied():
        wanted = supernet(images[0], "31-2")[-1]
    with torch.no_grad():
        assert torch.equal(backbone(images[0])[-1], wanted)


def test_calibration_without_images_is_refused(checkpoint, space, config, monkeypatch, tmp_path):
    backbone = subnet_of(checkpoint, "31-2", space)
    cfg = config("small_linear.py")
    for wrong in (-1, "1", 1.0, True):
        with pytest.raises(UserError, match=f"is {wrong!r}: whole numbers from 0 on"):
            recompute_statistics(backbone, cfg, batches=wrong)
    assert recompute_statistics(backbone, cfg, batches=0) == 0
    one = config("small_linear.py")
    one.val_cfg.calibration_dataloader.batch_size = 1
    with pytest.raises(UserError, match="gives single images"):
        recompute_statistics(backbone, one, batches=2)
    cfg.val_cfg.calibration_dataloader.dataset.data_root = str(tmp_path / "nowhere")
    with pytest.raises(UserError, match="nowhere of the calibration set is missing"):
        recompute_statistics(backbone, cfg)
    with pytest.raises(UserError, match="no calibration_dataloader in search, val_cfg or"):
        recompute_statistics(backbone, Config(dict(model=dict(type="PiNAS"))))


def test_as_many_batches_as_the_search_s_none_among_them(checkpoint, space, config):
    backbone = subnet_of(checkpoint, "31-2", space)
    before = {n: v.clone() for n, v in backbone.state_dict().items()}
    cfg = config("small_search.py")
    cfg.search.calibration_batches = 0
    assert recompute_statistics(backbone, cfg) == 0
    assert all(torch.equal(v, before[n]) for n, v in backbone.state_dict().items())
    cfg.search.calibration_batches = 3
    assert recompute_statistics(backbone, cfg) == 3


def test_nothing_is_run_with_weights_that_are_no_numbers(checkpoint, space, config):
    backbone = subnet_of(checkpoint, "31-2", space)
    # Those of a supernet go.
    backbone.bn1.running_var.fill_(float("inf"))
    assert recompute_statistics(backbone, config("small_linear.py"), batches=1) == 1
    backbone.bn1.weight.data[3] = float("nan")
    with pytest.raises(UserError, match=r"bn1\.weight of the PiNASBackbone is not finite"):
        recompute_statistics(backbone, config("small_linear.py"), batches=1)


def test_the_loader_of_the_evaluation_is_used_not_one_that_a_base_left(checkpoint, space, config):
    cfg = config("small_linear.py")
    cfg.calibration_dataloader.batch_size = 3
    cfg.val_cfg.calibration_dataloader.batch_size = 8
    backbone = subnet_of(checkpoint, "31-2", space)
    assert recompute_statistics(backbone, cfg, batches=5) == 2
    cfg.search = dict(
        calibration_dataloader={**cfg.val_cfg.calibration_dataloader, "batch_size": 4}
    )
    assert recompute_statistics(backbone, cfg, batches=5) == 4
    cfg.search = dict(calibration_dataloader=dict(batch_size=8))
    assert recompute_statistics(backbone, cfg, batches=5) == 2


@pytest.mark.parametrize("of", ["val_cfg", "test_cfg", "train_dataloader"])
def test_the_loader_of_a_search_is_the_search_s(config, of):
    cfg = config("small_search.py")
    for key in {"val_cfg", "test_cfg"} - {of}:
        del cfg[key]["calibration_dataloader"]
    usual = cfg.train_dataloader if of == "train_dataloader" else cfg[of].calibration_dataloader
    for changes in ({}, dict(batch_size=2), dict(dataset=dict(indices=8))):
        cfg.search.calibration_dataloader = changes
        _, loader = checked_loader(cfg)
        assert loader == search_loaders(cfg)["calibration_dataloader"]
        assert loader.dataset.type == usual.dataset.type
    whole = dict(usual, dataset=dict(usual.dataset, indices=4))
    cfg.search.calibration_dataloader = whole
    assert "calibration_dataloader" not in search_loaders(cfg)
    assert checked_loader(cfg)[1] == whole
    cfg.search.calibration_dataloader = dict(dataset="images")
    for read in (checked_loader, search_loaders):
        with pytest.raises(UserError, match=r"search\.calibration_dataloader\.dataset is 'images'"):
            read(cfg)


def test_other_images_than_the_training_s_are_said(config, tmp_path):
    file, name = tmp_path / "run.log", next(NAMES)
    MMLogger.get_instance(name, logger_name=name, log_file=str(file))
    cfg = config("small_linear.py")
    tell_other_images(cfg)
    assert "statistics of other images" not in file.read_text()
    cfg.train_dataloader.dataset.data_root = "/my/images"
    tell_other_images(cfg)
    (val, test) = [line for line in file.read_text().splitlines() if "of other images" in line]
    assert "val_cfg.calibration_dataloader reads" in val
    assert "test_cfg.calibration_dataloader reads" in test
    assert "train_dataloader /my/images" in val
