"""One head on all paths: frozen it is a linear probe, else SPOS or FairNAS."""

import copy

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict
from mmpretrain.structures import DataSample
from single_paths import image_classifier
from torch import nn
from torch.nn import functional as F

from pinas_mm.algorithms import SinglePath
from pinas_mm.errors import UserError
from pinas_mm.registry import MODELS

X = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = [1, 0, 4, 2]


@pytest.fixture
def build(space):
    def build(freeze=False, paths=None):
        torch.manual_seed(0)
        classifier = dict(
            type="ImageClassifier",
            backbone=dict(type="pinas_mm.PiNASSupernet", space=space.to_dict()),
            neck=dict(type="GlobalAveragePooling"),
            head=dict(type="LinearClsHead", num_classes=5, in_channels=32),
        )
        config = dict(
            type="pinas_mm.SinglePath",
            model=classifier,
            paths=paths,
            freeze_backbone=freeze,
            data_preprocessor=dict(type="ClsDataPreprocessor", num_classes=5),
        )
        model = MODELS.build(dict(config, _scope_="mmpretrain"))
        model.init_weights()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model.train()

    return build


def samples():
    return [DataSample().set_gt_label(label) for label in LABELS]


def cross_entropy(model, path):
    features = model.backbone(X, path)[0].mean((2, 3))
    return F.cross_entropy(model.model.head.fc(features), torch.tensor(LABELS))


def test_the_loss_is_the_mean_of_the_steps_paths(build, at_iteration):
    at_iteration(0, 5)
    model = build(paths=dict(type="pinas_mm.FairPaths", num_paths=4))
    paths = model.paths(model.backbone.space, 0, 5)
    expected = sum(cross_entropy(copy.deepcopy(model), path) for path in paths) / 4
    torch.testing.assert_close(model(X, samples(), mode="loss")["loss"], expected)


def test_an_explicit_architecture_overrides_the_sampler(build):
    model = build()
    expected = cross_entropy(copy.deepcopy(model), "32-1")
    found = model(X, samples(), mode="loss", arch="32-1")["loss"]
    torch.testing.assert_close(found, expected)


def test_a_frozen_supernet_keeps_its_weights_and_its_batch_statistics(build, at_iteration):
    at_iteration(0, 0)
    model = build(freeze=True)
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=1.0, weight_decay=0.1
    )
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model(X, samples(), mode="loss")["loss"].backward()
    optimizer.step()
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {"model.head.fc.weight", "model.head.fc.bias"}
    assert model.backbone.bn1.training
    assert int(model.backbone.bn1.num_batches_tracked) == 1


def test_spos_trains_one_path_and_fair_paths_all_candidates(build, at_iteration):
    at_iteration(0, 0)
    for number in (1, 4):
        model = build(paths=dict(type="pinas_mm.FairPaths", num_paths=number))
        model(X, samples(), mode="loss")["loss"].backward()
        for stage in model.backbone.stages:
            for block in stage:
                learning = [c.conv1.weight.grad is not None for c in block]
                assert sum(learning) == number


def test_predictions_are_an_architectures(build):
    model = build().eval()
    data = dict(inputs=list(X), data_samples=samples())
    for arch in ("00-0", "32-1"):
        logits = model.model.head.fc(model.backbone(X, arch)[0].mean((2, 3)))
        for step in (model.test_step, model.val_step):
            scores = torch.stack([s.pred_score for s in step(data, arch=arch)])
            torch.testing.assert_close(scores, logits.softmax(1))
        torch.testing.assert_close(model(X, arch=arch), logits)
    with model.backbone.on(arch):
        assert model.model.extract_feat(X, stage="backbone")[0].shape == (4, 32, 4, 4)


class Strategy(SinglePath):
    """Has parts of its own, of all kinds that a state dict has."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.temperature = nn.Parameter(torch.rand(1))
        self.register_buffer("losses", torch.rand(4))
        self.projection = nn.Linear(2, 3)
        self.steps = int(torch.randint(1000, ()))

    def get_extra_state(self):
        return torch.tensor(self.steps)

    def set_extra_state(self, state):
        self.steps = int(state)


OWN = ["temperature", "losses", "projection.weight", "projection.bias", "_extra_state"]


@pytest.mark.parametrize("load", [nn.Module.load_state_dict, load_state_dict])
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a wrapper"])
def test_a_strategys_own_parts_come_back(space, load, inside):
    torch.manual_seed(0)
    models = [Strategy(image_classifier(space)) for _ in range(2)]
    one, other = (nn.ModuleDict({"module": m}) if inside else m for m in models)
    state = one.state_dict()
    prefix = "module." if inside else ""
    assert {prefix + name for name in OWN} == set(state) - {
        prefix + name for name in models[0].model.state_dict()
    }
    load(other, state, strict=True)
    for name, value in other.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert models[0].steps == models[1].steps


class Nested(nn.Module):
    """A model with a part that is named as a SinglePath names its model."""

    def __init__(self, model):
        super().__init__()
        self.model, self.fc = model, nn.Linear(2, 2)
        self.data_preprocessor = model.data_preprocessor


def test_a_model_may_have_a_part_named_model(space):
    torch.manual_seed(0)
    one, other = (SinglePath(Nested(MODELS.build(image_classifier(space)))) for _ in range(2))
    # One key is another's with the prefix.
    for path in (one, other):
        path.model.model.fc = nn.Linear(2, 2)
    state = one.state_dict()
    assert list(state) == list(one.model.state_dict())
    other.load_state_dict(state)
    for name, value in other.model.state_dict().items():
        assert torch.equal(value, one.model.state_dict()[name]), name


class Stateful(Nested):
    """A model with a state that is no tensor."""

    get_extra_state, set_extra_state = Strategy.get_extra_state, Strategy.set_extra_state
    steps = 3


@pytest.mark.parametrize("name", ["head", "backbone", "_extra_state"])
def test_a_part_that_the_model_has_too_is_refused(space, name):
    model, other = (SinglePath(image_classifier(space)) for _ in range(2))
    # Parameters and buffers of a name that is there PyTorch refuses itself.
    if name == "_extra_state":
        model = Strategy(Stateful(MODELS.build(image_classifier(space))))
    else:
        setattr(model, name, nn.Linear(2, 2))
    # Before a training, in its first checkpoint, and where one is loaded.
    for use in (
        model.init_weights,
        model.state_dict,
        lambda: model.load_state_dict(other.state_dict()),
    ):
        with pytest.raises(UserError, match=f" has a {name} of its own, and so has its model") as e:
            use()
        assert "\n" not in str(e.value)
