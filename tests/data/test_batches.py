"""Sets smaller than their batches are refused before the first step, with what to set."""

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch import nn
from torch.utils.data import DataLoader

from pinas_mm.data.batches import (
    check_batches,
    check_calibration,
    normalizing,
    refuse_single_values,
)
from pinas_mm.data.remaining_batches import RemainingBatches
from pinas_mm.errors import UserError
from pinas_mm.search.evaluation import build


def loader(images: int, size: int, drop_last: bool = False, sampler=DefaultSampler) -> DataLoader:
    data = list(range(images))
    return DataLoader(data, size, sampler=sampler(data), drop_last=drop_last)


@pytest.mark.parametrize(
    ("images", "size", "drop_last", "words"),
    [
        (4, 8, True, "4 images do not fill one batch of batch_size=8"),
        (4, 8, True, "set train.batch_size to at most 4, or train.drop_last=False"),
        (0, 4, False, "the data set has no image left"),
    ],
)
def test_too_few_images(images, size, drop_last, words):
    with pytest.raises(UserError) as error:
        check_batches(loader(images, size, drop_last), "train")
    assert words in str(error.value)


def watched(data: DataLoader, pools: bool = True) -> nn.Module:
    """A model whose training on a loader is watched: maps are normalized, then pooled to points."""
    points = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3))
    model = nn.Sequential(nn.BatchNorm2d(3), points if pools else nn.Identity())
    refuse_single_values(model, data, "train")
    return model


LAST = "images in batches of {} leave a last batch of one image: 1.1 gets one value for each"


@pytest.mark.parametrize(
    ("images", "size", "first", "words"),
    [
        (9, 4, 4, f"train: 9 {LAST}"),
        (5, 4, 4, "cannot normalize: train.batch_size=3 or train.drop_last=True"),
        (1, 4, 1, f"train: 1 {LAST}"),
        (1, 4, 1, "cannot normalize: take more images"),
        (3, 2, 2, "cannot normalize: train.drop_last=True"),
        (3, 1, 1, "train.batch_size=1: 1.1 gets one value for each channel"),
    ],
)
def test_a_batch_of_one_image_that_a_norm_gets_as_a_point(images, size, first, words):
    model = watched(loader(images, size))
    with pytest.raises(UserError) as error:
        model(torch.ones(first, 3, 2, 2))
    assert words.format(size) in str(error.value)
    # Maps of several pixels are enough for a norm.
    watched(loader(images, size), pools=False)(torch.ones(first, 3, 3, 3))


@pytest.mark.parametrize(
    ("images", "size", "drop_last"), [(8, 8, True), (10, 4, False), (9, 4, True), (3, 1, False)]
)
def test_enough_images(images, size, drop_last):
    data = loader(images, size, drop_last)
    check_batches(data, "train")
    if size > 1:
        watched(data)(torch.ones(size, 3, 2, 2))


@pytest.mark.parametrize(("iteration", "first"), [(1, 4), (2, 1)])
def test_what_is_left_of_a_resumed_runs_batches(iteration, first):
    data = list(range(9))
    rest = RemainingBatches(DefaultSampler(data), 4, iteration, epoch=0)
    rest = DataLoader(data, batch_sampler=rest)
    with pytest.raises(UserError, match=r"leave a last batch of one image: 1\.1 gets"):
        watched(rest)(torch.ones(first, 3, 2, 2))
    # A last batch has as many pixels here as a whole one would have images.
    watched(rest, pools=False)(torch.ones(first, 3, 2, 2))


def test_samplers_whose_length_says_nothing():
    check_batches(loader(3, 8, True, InfiniteSampler), "train")
    watched(loader(9, 8, sampler=InfiniteSampler))(torch.ones(8, 3, 2, 2))
    with pytest.raises(UserError, match="no image left"):
        check_batches(loader(0, 8, sampler=InfiniteSampler), "train")

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(range(9))

    check_batches(DataLoader(Stream(), 4), "train")
    watched(DataLoader(Stream(), 4))(torch.ones(4, 3, 2, 2))


def test_calibration_needs_a_batch_of_two():
    check_calibration(loader(9, 4), "calibration")
    for images, size in ((9, 1), (1, 4)):
        with pytest.raises(UserError, match="calibration: there is no batch of at least 2 images"):
            check_calibration(loader(images, size), "calibration")
    with pytest.raises(UserError, match="do not fill one batch"):
        check_calibration(loader(3, 4, True), "calibration")


def test_norms_that_normalize():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.SyncBatchNorm(3), nn.LayerNorm(3))
    assert [name for name, _ in normalizing(model)] == ["0", "1"]

    class Frozen(nn.Sequential):
        def train(self, mode=True):
            return super().train(False)

    assert not normalizing(Frozen(nn.BatchNorm2d(3)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 32, "drop_last": True}, "train_dataloader: 16 images do not fill one"),
        ({"dataset.indices": []}, "train_dataloader: its data set, or the calibration's, has no"),
    ],
)
def test_a_training_is_refused_before_it_starts(runner, changes, words):
    # Epochs' schedules in iterations would divide by the number of batches, which is none.
    changes = {f"train_dataloader.{key}": value for key, value in changes.items()}
    with pytest.raises(UserError, match=words):
        runner("small_classifier.py", **{"train_dataloader.drop_last": False, **changes})


def test_the_linear_probes_calibration_is_refused_before_it_starts(runner, tmp_path):
    changes = {
        "val_cfg.calibration_dataloader.batch_size": 1,
        "model.model.backbone.init_cfg": None,
    }
    with pytest.raises(UserError, match=r"val_cfg\.calibration_dataloader: there is no batch of"):
        runner("small_linear.py", **changes)


def test_a_last_calibration_batch_of_one_image_is_left_out(runner, monkeypatch):
    metrics = []
    for images in (16, 17):
        changes = {
            "model.model.backbone.init_cfg": None,
            "val_cfg.calibration_batches": 9,
            "val_cfg.calibration_dataloader.sampler.shuffle": False,
            "val_cfg.calibration_dataloader.dataset.indices": [*range(8), *range(8)][: images - 8],
        }
        run = runner("small_linear.py", **changes)
        metrics.append(run.val_loop.run())
    # 8 images in two batches of 4, and the ninth alone.
    assert metrics[0] == metrics[1]


def test_retrieval_of_a_last_single_image(runner):
    run = runner(**{"val_dataloader.dataset.indices": 5, "val_cfg.num_images": 5})
    assert 0 <= run.val_loop.run()["retrieval/top1"] <= 100
    run = runner(**{"val_dataloader.dataset.indices": 1})
    with pytest.raises(
        UserError, match="at least 2 in each process: num_images is 8, the data set"
    ):
        run.val_loop.run()


def test_a_searchs_calibration_on_single_images(runner):
    run = runner("small_linear.py", **{"model.model.backbone.init_cfg": None})
    cfg = run.cfg
    single = dict(cfg.val_cfg.calibration_dataloader, batch_size=1)
    with pytest.raises(UserError, match="the calibration loader gives single images"):
        build.build_evaluator(run.model, "ProbeScore", cfg.val_dataloader, single)


@pytest.mark.parametrize(
    ("size", "fault", "advice"),
    [
        (1, "train_dataloader.batch_size=1", "set batch_size to at least 2"),
        (
            5,
            "train_dataloader: 16 images in batches of 5 leave a last batch of one image",
            "train_dataloader.batch_size=4 or train_dataloader.drop_last=True",
        ),
    ],
)
def test_one_image_under_batch_norm(runner, size, fault, advice):
    """ResNeSt's attention pools each image to a point and normalizes that."""
    loaded = {"train_dataloader.batch_size": size, "train_dataloader.drop_last": False}
    run = runner("small_classifier.py", **loaded)
    with pytest.raises(UserError) as error:
        run.train()
    line = str(error.value)
    assert line.startswith(f"{fault}: backbone.layer1.0.conv2.bn1 gets one value")
    assert line.endswith(advice) or size == 1
    assert advice in line
    assert run.iter == 0


@pytest.mark.parametrize(("images", "size"), [(3, 1), (5, 2)])
def test_a_network_is_looked_at_once(images, size):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    refuse_single_values(model, loader(images, size), "train_dataloader")
    model(torch.ones(size, 3, 2, 2))
    assert not any(module._forward_pre_hooks for module in model.modules())
