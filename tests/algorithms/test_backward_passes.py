"""A backward pass for each path of a step: gradients, statistics and log of the mean loss, and all
that mmengine makes of gradients and parameters works as for any model.
"""

import copy
import itertools
import weakref

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.runner.checkpoint import get_state_dict, load_state_dict
from single_paths import (
    Recording,
    gradients,
    image_classifier,
    labelled,
    single_path,
    supernet,
)
from torch import nn
from torch.distributed.utils import _to_kwargs
from torch.nn.modules.batchnorm import _BatchNorm

from pinas_mm.algorithms import SinglePath
from pinas_mm.algorithms.base import Step
from pinas_mm.engine import AmpOptimWrapper
from pinas_mm.errors import UserError
from pinas_mm.models.cost import count_costs
from pinas_mm.registry import MODELS

FAIR = dict(type="pinas_mm.FairPaths", num_paths=4)
SAMPLERS = [
    FAIR,
    # With candidates that no path takes, and such that several do.
    dict(type="pinas_mm.UniformPaths", num_paths=3),
    dict(type="pinas_mm.SandwichPaths", num_paths=3, image_size=32),
]


def one_graph(model, batch):
    """Gradients of the mean loss by one backward pass, the log, and the model afterwards."""
    twin = copy.deepcopy(model)
    loss, log = twin.parse_losses(twin.loss(**batch))
    loss.backward()
    return gradients(twin), log, twin


def assert_same_gradients(found, expected, rtol=1e-12, atol=1e-12):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=rtol, atol=atol, msg=name)


def assert_same_buffers(model, other):
    for (name, value), (_, expected) in zip(
        model.named_buffers(), other.named_buffers(), strict=True
    ):
        assert torch.equal(value, expected), name


@pytest.mark.parametrize("paths", SAMPLERS, ids=["fair", "uniform", "sandwich"])
def test_a_step_has_gradients_statistics_and_log_of_the_mean_loss(space, at_iteration, paths):
    model, batch = single_path(image_classifier(space), paths=paths), labelled(6)
    optimizer = Recording(model)
    wrapper = OptimWrapper(optimizer)
    for iteration in range(2):
        at_iteration(3, iteration)
        expected, expected_log, twin = one_graph(model, batch)
        log = model.train_step(batch, wrapper)
        assert_same_gradients(optimizer.steps[iteration], expected)
        assert_same_buffers(model, twin)
        assert log.keys() == expected_log.keys() == {"loss"}
        torch.testing.assert_close(log["loss"], expected_log["loss"], rtol=1e-14, atol=0)
    assert len(optimizer.steps) == 2
    assert not gradients(model)
    # Candidates without a path have no gradient at all, so an optimizer leaves them alone.
    candidates = space.num_blocks * space.num_candidates
    taken = {(n, c) for p in model.step_paths(3, 1) for n, c in enumerate(p)}
    learning = {name for name in optimizer.steps[1] if name.endswith(".conv1.weight")}
    assert len(learning) == len(taken)
    assert (len(taken) == candidates) == (paths == FAIR)


def test_activations_of_a_path_are_gone_when_the_next_begins(space, at_iteration):
    model, batch = single_path(image_classifier(space), paths=FAIR), labelled(6)
    at_iteration(0, 0)
    outputs, alive = [], []

    def look(module, inputs, output):
        alive.append(sum(before() is not None for before in outputs))
        outputs.append(weakref.ref(output))

    model.backbone.conv1[0].register_forward_hook(look)
    loss = model.loss(**batch)
    assert alive == [0, 1, 2, 3]
    del loss
    outputs.clear()
    alive.clear()
    model.train_step(batch, OptimWrapper(Recording(model)))
    assert alive == [0, 0, 0, 0]


class Asking(SinglePath):
    """A strategy that wants to know its path."""

    def path_loss(self, batch, arch, step):
        self.asked = arch
        return super().path_loss(batch, arch, step)


def test_a_strategy_gets_its_path_as_an_architecture(space):
    torch.manual_seed(0)
    model, batch = Asking(image_classifier(space)).double(), labelled(4)
    path = space.arch("01-2")
    step = Step([space.arch("333"), path], number=1)
    # What DistributedDataParallel makes of arguments on their way to a GPU.
    _, (moved,) = _to_kwargs((), dict(arch=path, step=step), torch.device("cpu"), False)
    found = model(**batch, mode="loss", **moved)["loss"]
    assert model.asked == path
    assert str(model.asked) == "01-2"
    assert torch.equal(found, model(**batch, mode="loss", arch=path)["loss"])


def test_several_losses_are_logged_each_as_its_mean(space, at_iteration):
    model, batch = single_path(image_classifier(space), paths=FAIR), labelled(6)
    model.model.head.cal_acc = True
    at_iteration(0, 0)
    log = model.train_step(batch, OptimWrapper(Recording(model)))
    each = []
    # The accuracy comes as a list.
    together = model.parse_losses(model.loss(**batch))[1]
    for path in model.step_paths(0, 0):
        with model.backbone.on(path):
            losses = model.model(**batch, mode="loss")
        each.append(model.parse_losses(losses)[1])
    assert set(log) == {"loss", "accuracy_top-1"}
    for name, value in log.items():
        expected = np.mean([float(row[name]) for row in each])
        assert float(value) == pytest.approx(expected, rel=1e-12)
        assert float(together[name]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("paths", [None, FAIR], ids=["one path", "four paths"])
def test_accumulated_gradients_step_every_second_iteration(space, at_iteration, paths):
    model = single_path(image_classifier(space), paths=paths)
    optimizer = Recording(model)
    wrapper = OptimWrapper(optimizer, accumulative_counts=2)
    # The fifth iteration is the last and has no second.
    wrapper.initialize_count_status(model, 0, 5)
    waiting, expected, steps = [], [], []
    for iteration in range(5):
        at_iteration(0, iteration)
        batch = labelled(4, seed=iteration)
        waiting.append(one_graph(model, batch)[0])
        model.train_step(batch, wrapper)
        assert wrapper.inner_count == iteration + 1
        steps.append(len(optimizer.steps))
        if len(optimizer.steps) > len(expected):
            names = {name for part in waiting for name in part}
            expected.append(
                {n: sum(part.get(n, 0.0) for part in waiting) / len(waiting) for n in names}
            )
            waiting = []
    assert steps == [0, 1, 1, 2, 3]
    for found, wanted in zip(optimizer.steps, expected, strict=True):
        assert_same_gradients(found, wanted)


def test_gradients_are_clipped_once_and_together(space, at_iteration):
    model, batch = single_path(image_classifier(space), paths=FAIR), labelled(6)
    at_iteration(0, 0)
    expected = one_graph(model, batch)[0]
    norm = torch.stack([value.norm() for value in expected.values()]).norm()
    optimizer = Recording(model)
    model.train_step(batch, OptimWrapper(optimizer, clip_grad=dict(max_norm=float(norm) / 3)))
    assert_same_gradients(optimizer.steps[0], {n: g / 3 for n, g in expected.items()}, rtol=1e-5)


@pytest.mark.parametrize("paths", [None, FAIR], ids=["one path", "four paths"])
def test_mixed_precision(space, at_iteration, paths):
    model = single_path(image_classifier(space), torch.float32, paths=paths)
    batch = labelled(6, dtype=torch.float32)
    optimizer = Recording(model)
    wrapper = AmpOptimWrapper(optimizer=optimizer, dtype="bfloat16")
    at_iteration(0, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected, expected_log, twin = one_graph(model, batch)
    exact = one_graph(model, batch)[1]["loss"]
    log = model.train_step(batch, wrapper)
    torch.testing.assert_close(log["loss"], expected_log["loss"])
    assert not torch.equal(log["loss"], exact)
    assert_same_buffers(model, twin)
    assert optimizer.steps[0].keys() == expected.keys()
    for name, value in optimizer.steps[0].items():
        assert value.dtype == torch.float32
        assert (value - expected[name]).norm() <= 0.05 * expected[name].norm() + 1e-3, name


@pytest.mark.gpu
def test_mixed_precision_with_loss_scaling(space, at_iteration):
    model = single_path(image_classifier(space), torch.float32, paths=FAIR).cuda()
    batch = labelled(6, dtype=torch.float32)
    at_iteration(0, 0)
    exact = one_graph(model, model.data_preprocessor(batch, True))[0]
    optimizer = Recording(model)
    model.train_step(batch, AmpOptimWrapper(optimizer=optimizer, loss_scale=128.0))
    for name, value in optimizer.steps[0].items():
        assert (value - exact[name]).norm() <= 0.05 * exact[name].norm() + 1e-3, name


def test_one_path_a_step_is_mmengines_own_step(space, at_iteration):
    model = single_path(image_classifier(space))
    twin = copy.deepcopy(model)
    ours, theirs = (OptimWrapper(torch.optim.SGD(m.parameters(), lr=0.1)) for m in (model, twin))
    before = copy.deepcopy(model.state_dict())
    for iteration in range(3):
        at_iteration(7, iteration)
        batch = labelled(4, seed=iteration)
        log = model.train_step(batch, ours)
        expected = BaseModel.train_step(twin, batch, theirs)
        assert log.keys() == expected.keys()
        assert all(torch.equal(log[name], expected[name]) for name in log)
    assert model.state_dict().keys() == twin.state_dict().keys()
    changed = 0
    for name, value in model.state_dict().items():
        assert torch.equal(value, twin.state_dict()[name]), name
        changed += not torch.equal(value, before[name])
    assert changed > 20


def test_options_of_single_parameters_work(space):
    model = single_path(image_classifier(space))
    keys = {"backbone.layer1": dict(lr_mult=0.1), "head": dict(lr_mult=10, decay_mult=0.5)}
    wrapper = build_optim_wrapper(
        model,
        dict(
            optimizer=dict(type="SGD", lr=1.0, weight_decay=0.01),
            paramwise_cfg=dict(custom_keys=keys, norm_decay_mult=0),
        ),
    )
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = wrapper.optimizer.param_groups
    grouped = [(p, group) for group in groups for p in group["params"]]
    assert len(grouped) == len(names)
    assert {parameter for parameter, _ in grouped} == set(names)
    norms = {p for m in model.modules() if isinstance(m, _BatchNorm) for p in m.parameters()}
    # A norm of a shortcut is one of a block, whichever candidates share it.
    assert any("shortcut" in names[parameter] for parameter in norms)
    for parameter, group in grouped:
        name = names[parameter]
        # mmengine looks at norms only where no key fits.
        lr, decay = 1.0, 0.0 if parameter in norms else 0.01
        if "backbone.layer1" in name:
            lr, decay = 0.1, 0.01
        elif "head" in name:
            lr, decay = 10.0, 0.005
        assert (group["lr"], group["weight_decay"]) == pytest.approx((lr, decay)), name


def test_norms_alone_without_weight_decay(space):
    model = single_path(image_classifier(space))
    wrapper = build_optim_wrapper(
        model,
        dict(
            optimizer=dict(type="SGD", lr=1.0, weight_decay=0.01),
            paramwise_cfg=dict(norm_decay_mult=0),
        ),
    )
    groups = wrapper.optimizer.param_groups
    decay = {p: group["weight_decay"] for group in groups for p in group["params"]}
    norms = {p for m in model.modules() if isinstance(m, _BatchNorm) for p in m.parameters()}
    assert decay == {p: 0.0 if p in norms else 0.01 for p in model.parameters()}


def plain(space, seed):
    """The same classifier without a SinglePath around it, with other weights."""
    torch.manual_seed(seed)
    model = MODELS.build(image_classifier(space)).double()
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.copy_(torch.randint_like(tensor, 100))
    return model


def assert_same_state(state, expected):
    assert list(state) == list(expected)
    for name, value in expected.items():
        assert torch.equal(state[name], value), name


def test_the_state_dict_is_the_models_own(space):
    model = single_path(image_classifier(space))
    assert list(model.state_dict()) == list(model.model.state_dict())
    assert list(model.state_dict()) == list(plain(space, 0).state_dict())
    assert_same_state(get_state_dict(model), model.state_dict())
    # Inside of another module, as a distributed wrapper is, its place is kept.
    outer = nn.ModuleDict({"module": model, "other": nn.Linear(1, 1)})
    assert list(outer.state_dict())[:-2] == [f"module.{name}" for name in model.state_dict()]
    assert not any(key.startswith("model.") for key in model.state_dict())


def torchs(module, state):
    module.load_state_dict(state, strict=True)


def mmengines(module, state):
    load_state_dict(module, state, strict=True)


@pytest.mark.parametrize("load", [torchs, mmengines])
def test_weights_go_to_and_fro(space, load):
    model, other = single_path(image_classifier(space)), plain(space, 1)
    load(other, model.state_dict())
    assert_same_state(other.state_dict(), model.state_dict())
    source = plain(space, 2)
    given = source.state_dict()
    keys = list(given)
    load(model, given)
    assert list(given) == keys
    assert_same_state(model.state_dict(), source.state_dict())
    # As a part of something else.
    outer = nn.ModuleDict({"module": single_path(image_classifier(space))})
    load(outer, nn.ModuleDict({"module": source}).state_dict())
    assert_same_state(outer["module"].state_dict(), source.state_dict())
    twin = copy.deepcopy(model)
    load(twin, single_path(image_classifier(space)).state_dict())
    assert_same_state(model.state_dict(), source.state_dict())


@pytest.mark.parametrize("load", [torchs, mmengines])
def test_weights_that_do_not_fit_are_refused(space, load):
    model = single_path(image_classifier(space))
    state = model.state_dict()
    missing = {name: value for name, value in state.items() if name != "head.fc.bias"}
    with pytest.raises(RuntimeError, match=r"head\.fc\.bias"):
        load(model, missing)
    with pytest.raises(RuntimeError, match=r"head\.other"):
        load(model, {**state, "head.other": torch.zeros(1)})
    # With its own name in front, as nobody writes it.
    with pytest.raises((RuntimeError, UserError), match=r"nexpected|does not fit"):
        load(model, {f"model.{name}": value for name, value in state.items()})


@pytest.mark.parametrize("cost", ["macs", "params"])
def test_a_sandwich_begins_with_the_dearest_and_the_cheapest(space, at_iteration, cost):
    paths = dict(type="pinas_mm.SandwichPaths", num_paths=4, cost=cost, image_size=32)
    model = single_path(image_classifier(space), paths=paths)
    everything = np.array(list(itertools.product(range(space.num_candidates), repeat=3)))
    counted = count_costs(space, 32)[cost]
    costs = counted.of(everything)
    drawn = [model.step_paths(0, iteration) for iteration in range(20)]
    for step in drawn:
        assert len(step) == 4
        found = counted.of(np.array(step))
        assert (found[0], found[1]) == (costs.max(), costs.min())
    assert len({tuple(step[2:]) for step in drawn}) > 10
    # What is drawn first is run first.
    ran = []
    for number, stage_block in enumerate((0, 1, 0)):
        block = model.backbone.stages[0 if number < 2 else 1][stage_block]
        for choice in block.choices:
            block[choice].register_forward_hook(
                lambda *_, place=(number, choice): ran.append(place)
            )
    at_iteration(0, 5)
    model.train_step(labelled(4), OptimWrapper(Recording(model)))
    assert ran == [place for path in drawn[5] for place in enumerate(path)]


class Two(BaseModel):
    """A model with as many supernets as are given."""

    def __init__(self, *supernets):
        super().__init__()
        self.parts = nn.ModuleList(supernets)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        return [part(inputs) for part in self.parts]


@pytest.mark.parametrize("number", [0, 2])
def test_a_model_without_or_with_two_supernets_is_refused(space, number):
    model = Two(*(MODELS.build(supernet(space)) for _ in range(number)))
    with pytest.raises(UserError, match=f"one supernet, Two has {number} and no ba") as caught:
        MODELS.build(dict(type="pinas_mm.SinglePath", model=model))
    assert "\n" not in str(caught.value)
    classifier = dict(image_classifier(space), backbone=dict(type="mmpretrain.ResNet", depth=18))
    with pytest.raises(UserError, match="has 0 and its backbone is a ResNet: ") as caught:
        MODELS.build(dict(type="pinas_mm.SinglePath", model=classifier))
    assert "\n" not in str(caught.value)
    for none in (None, {}):
        with pytest.raises(UserError, match="ImageClassifier has no backbone: give it backbone="):
            MODELS.build(dict(type="pinas_mm.SinglePath", model=dict(classifier, backbone=none)))
    with pytest.raises(UserError, match="SinglePath's model is None: give the config of a model"):
        MODELS.build(dict(type="pinas_mm.SinglePath", model=None))


def test_the_supernet_may_stand_anywhere_in_the_model(space):
    model = Two(nn.Linear(1, 1), MODELS.build(supernet(space)))
    wrapped = MODELS.build(dict(type="pinas_mm.SinglePath", model=model, freeze_backbone=True))
    assert wrapped.backbone is model.parts[1]
    learning = [name for name, p in wrapped.named_parameters() if p.requires_grad]
    assert learning == ["model.parts.0.weight", "model.parts.0.bias"]
