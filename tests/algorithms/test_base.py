"""What an algorithm of one's own gets from its base: losses of any names, a way through them."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpretrain.registry import TASK_UTILS
from single_paths import Recording, gradients, image_classifier, labelled, single_path
from torch import nn
from torch.nn import functional as F

from pinas_mm.algorithms import SinglePath, base
from pinas_mm.algorithms.base import SupernetAlgorithm
from pinas_mm.errors import UserError
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.registry import MODELS, PATH_SAMPLERS
from pinas_mm.space.paths import PathSampler

THREE = dict(type="pinas_mm.SandwichPaths", num_paths=3, image_size=16)


class Distilling(SinglePath):
    """The first path learns from the labels, the others from the first; each says something else.

    Attributes:
        names: of the losses of the first path and of the others.
    """

    names = "loss_cls", "loss_kd"

    def path_loss(self, batch, arch, step):
        losses = super().path_loss(batch, arch, step)
        with self.backbone.on(arch):
            logits = self.model.head.fc(self.model.extract_feat(batch["inputs"])[0])
        if step.number == 0:
            step.memory["first"] = logits.detach().softmax(1)
            return {self.names[0]: losses["loss"], "sharpness": step.memory["first"].max()}
        loss = F.cross_entropy(logits, step.memory["first"])
        # The last one has two of them.
        more = dict(loss_size=[logits.square().mean()] * 2) if step.number == 2 else {}
        return {self.names[1]: loss, "agreement": loss.detach(), **more}


@pytest.mark.parametrize("names", [Distilling.names, ("loss", "loss_kd"), ("loss_cls", "loss")])
def test_paths_of_a_step_name_their_losses_as_they_like(space, at_iteration, monkeypatch, names):
    monkeypatch.setattr(Distilling, "names", names)
    at_iteration(0, 0)
    torch.manual_seed(0)
    model = Distilling(image_classifier(space), THREE).double().train()
    twin, batch = copy.deepcopy(model), labelled(6)
    loss, together = twin.parse_losses(twin.loss(**batch))
    loss.backward()
    optimizer = Recording(model)
    log = model.train_step(batch, OptimWrapper(optimizer))
    for name, value in gradients(twin).items():
        torch.testing.assert_close(optimizer.steps[0][name], value, msg=name)
    assert optimizer.steps[0].keys() == gradients(twin).keys()
    assert log.keys() == together.keys()
    assert log.keys() == {"loss", *names, "loss_size", "sharpness", "agreement"}
    for name, value in log.items():
        torch.testing.assert_close(value, together[name], msg=name)
    # A path without a loss counts for it, one without a value that is only logged does not.
    if "loss" not in names:
        parts = [float(log[name]) for name in (*names, "loss_size")]
        assert float(log["loss"]) == pytest.approx(sum(parts))
    if names[1] == "loss_kd":
        assert float(log["loss_kd"]) == pytest.approx(float(log["agreement"]) * 2 / 3)


class Writing(SinglePath):
    """Its loss puts something else into the samples."""

    def path_loss(self, batch, arch, step):
        for sample in batch["data_samples"]:
            assert sample.gt_instances.masks == "ab"
            sample.gt_instances.masks = "cd"
        self.seen.append(batch["data_samples"])
        return super().path_loss(batch, arch, step)


@pytest.mark.parametrize("paths", [None, THREE], ids=["one path", "three paths"])
def test_each_path_has_samples_of_its_own(space, at_iteration, monkeypatch, paths):
    at_iteration(0, 0)
    model, batch = Writing(image_classifier(space), paths).double(), labelled(4)
    for sample in batch["data_samples"]:
        sample.set_field(InstanceData(masks="ab"), "gt_instances")
    model.seen = []
    model.loss(**batch)
    if paths is not None:
        assert batch["data_samples"][0].gt_instances.masks == "ab"
        model.train_step(batch, OptimWrapper(Recording(model)))
        assert len(model.seen) == 6
    else:  # Nothing is copied.
        assert model.seen == [batch["data_samples"]]
        assert model.seen[0] is batch["data_samples"]
        monkeypatch.setattr(base, "own_samples", None)
        for sample in batch["data_samples"]:
            sample.gt_instances.masks = "ab"
        model.train_step(batch, OptimWrapper(Recording(model)))


class Least(SupernetAlgorithm):
    """As little as an algorithm can be."""

    def __init__(self, space, **paths):
        super().__init__(dict(type="pinas_mm.UniformPaths", **paths), BaseDataPreprocessor())
        self.backbone, self.fc = PiNASSupernet(space), nn.Linear(space.out_channels[-1], 1)
        self.check_paths()

    def path_loss(self, batch, arch, step):
        features = self.backbone(batch["inputs"], arch)[0].mean((2, 3))
        return dict(loss=self.fc(features).square().mean())


@pytest.mark.parametrize("number", [1, 2])
def test_an_algorithm_needs_no_more_than_a_loss_of_a_path(space, at_iteration, number):
    at_iteration(0, 0)
    torch.manual_seed(0)
    model = Least(space, num_paths=number)
    images = torch.randn(2, 3, 16, 16)
    before = copy.deepcopy(model.fc.weight)
    expected = copy.deepcopy(model).loss(images)["loss"]
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    log = model.train_step(dict(inputs=images), OptimWrapper(sgd))
    torch.testing.assert_close(log["loss"], expected)
    assert not torch.equal(model.fc.weight, before)
    assert model(images, mode="loss", arch="00-0").keys() == {"loss"}
    with pytest.raises(NotImplementedError, match=r"Least must define forward\(\) for 'predict'"):
        model(images, mode="predict")


def test_one_explicit_path_is_one(space):
    model, batch = single_path(image_classifier(space)), labelled(4)
    assert torch.equal(
        model.loss(**batch, paths="31-2")["loss"], model.loss(**batch, paths=["31-2"])["loss"]
    )
    with pytest.raises(UserError, match="4 at block 0"):
        model.loss(**batch, paths="40-0")


@PATH_SAMPLERS.register_module()
@dataclasses.dataclass(frozen=True)
class Firsts(PathSampler):
    """A user's."""

    def draw(self, space, seed, iteration):
        return np.zeros((self.num_paths, space.num_blocks), int)


@TASK_UTILS.register_module()
class Theirs(Firsts):
    """In the registry of the config's library."""


@pytest.mark.parametrize("kind", ["Firsts", "pinas_mm.Firsts", Firsts, "Theirs"])
def test_a_path_sampler_of_ones_own_is_known_by_its_name(space, kind):
    config = dict(type="pinas_mm.SinglePath", model=image_classifier(space))
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build(config | dict(paths=dict(type=kind, num_paths=2)))
        assert DefaultScope.get_current_instance().scope_name == "mmpretrain"
    assert model.step_paths(0, 0) == [(0, 0, 0)] * 2
