"""Whole models with one architecture: their supernet's predictions, to test and to train on."""

import itertools

import numpy as np
import pytest
import torch
from conftest import NAMES
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import Runner, set_random_seed
from mmengine.structures import BaseDataElement
from tasks import TASKS, trained, write_task

from pinas_mm.data.digits import prepare
from pinas_mm.engine.config import read_config
from pinas_mm.export.whole_model import hand_over
from pinas_mm.models.batch_norm import Statistics
from pinas_mm.registry import MODELS

BATCHES = 2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with 8 images for training and 20 for tests in each layout."""
    folder = tmp_path_factory.mktemp("tasks")
    list(prepare(folder, ["imagenet", "coco", "ade20k"], train=8, val=20))
    return folder


@pytest.fixture(params=[*TASKS, "classifier"])
def task(request, data, monkeypatch, tmp_path):
    """Config of a supernet in a model, its model with weights, and their checkpoint."""
    monkeypatch.setenv("PINAS_DATA", str(data))
    monkeypatch.chdir(tmp_path)
    cfg = read_config(write_task(request.param, tmp_path))
    file = tmp_path / "epoch_1.pth"
    return cfg, trained(cfg, file), file


def archs(model, number):
    return model.backbone.space.sample(number, np.random.default_rng(0))


def numbers(sample):
    """All that a prediction says, by name."""
    found = {}
    for name, value in sample.items():
        if isinstance(value, BaseDataElement):
            found |= {f"{name}.{inner}": one for inner, one in numbers(value).items()}
        else:
            found[name] = value
    return {name: np.asarray(value) for name, value in found.items()}


def built(file, weights):
    """As any program would: the config's model with the file's weights."""
    config = Config.fromfile(file)
    model = revert_sync_batchnorm(MODELS.build(config.model)).eval()
    model.load_state_dict(torch.load(weights, weights_only=True)["state_dict"], strict=True)
    return model


@torch.no_grad()
def test_predictions_are_the_supernets_on_the_path(task, tmp_path):
    cfg, supernet, checkpoint = task
    set_random_seed(0)
    calibration = cfg.val_cfg.calibration_dataloader
    batches = itertools.islice(Runner.build_dataloader(calibration, seed=0), BATCHES)
    batches = list(batches)
    images = list(Runner.build_dataloader(cfg.test_dataloader))
    seen, different = 0, []
    for arch in archs(supernet, 5):
        handed = hand_over(tmp_path / str(arch), checkpoint, cfg, str(arch), BATCHES)
        assert handed.calibrated == BATCHES
        model = built(handed.config, handed.weights)
        statistics = Statistics(supernet, lambda d, a=arch: supernet.test_step(d, a), batches)
        for batch in images:
            with statistics.applied():
                wanted = [numbers(s) for s in supernet.test_step(batch, arch)]
            got = [numbers(sample) for sample in model.test_step(batch)]
            seen += len(got)
            for ours, theirs in zip(got, wanted, strict=True):
                assert ours.keys() == theirs.keys()
                for name, value in theirs.items():
                    assert np.array_equal(ours[name], value), name
            different.append(wanted[0])
    assert seen == 5 * 20
    # Architectures and images differ: what is equal is not so by chance.
    assert len({str(one) for one in different}) == len(different)


def test_the_config_tests_and_trains_on(task, tmp_path):
    cfg, supernet, checkpoint = task
    (arch,) = archs(supernet, 1)
    hand_over(tmp_path / "winner", checkpoint, cfg, arch, BATCHES)
    # The folder can be moved.
    moved = (tmp_path / "winner").rename(tmp_path / "elsewhere")

    def runner(file, **settings):
        config = read_config(file)
        config.merge_from_dict({"work_dir": str(tmp_path / "work"), **settings})
        config.experiment_name = next(NAMES)
        return Runner.from_cfg(config)

    file = moved / "winner.py"
    measured = runner(file).test()
    loop = dict(cfg.test_cfg, archs=[str(arch)], calibration_batches=BATCHES)
    on_path = {"test_cfg": loop, "load_from": str(checkpoint), "randomness.seed": 0}
    on_path["custom_hooks"] = []
    wanted = runner(cfg.filename, **on_path).test()
    assert measured
    assert measured == {name: wanted[name] for name in measured}
    epochs = "max_epochs" in cfg.train_cfg
    length = {"train_cfg.max_epochs" if epochs else "train_cfg.max_iters": 1}
    training = runner(file, **length, **{"train_cfg.val_interval": 1})
    training.train()
    assert training.model.backbone.arch == arch
    assert training.iter >= 1
    start, now = torch.load(moved / "winner.pth")["state_dict"], training.model.state_dict()
    assert start.keys() == now.keys()
    weights = [name for name in start if name.endswith("weight")]
    assert 0 < max((now[name] - start[name]).abs().max() for name in weights) < 1
