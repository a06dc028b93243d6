"""Candidates compiled one by one compute what they did, under the same names."""

import copy
import functools
import logging
from types import SimpleNamespace

import pytest
import torch
from single_paths import gradients, image_classifier, labelled, single_path

from pinas_mm.analysis.zero_cost import naswot
from pinas_mm.engine import CompileBlocksHook
from pinas_mm.models.batch_norm import Statistics
from pinas_mm.search.evaluation.scores.zero_cost import path_part
from pinas_mm.search.evaluation.subnets import Subnets, borrowed

pytestmark = pytest.mark.skipif(
    not hasattr(torch.nn.Module, "compile"), reason="modules compile in place since PyTorch 2.2"
)


def run(model):
    return SimpleNamespace(model=model, logger=logging.getLogger("compile"))


def test_a_step_is_that_of_uncompiled_blocks(space, at_iteration, caplog):
    at_iteration(0, 0)
    model, batch = single_path(image_classifier(space)), labelled(4)
    twin, names = copy.deepcopy(model), [*model.state_dict()]
    with caplog.at_level(logging.INFO):
        # PyTorch's tracing without its code generation, which takes a minute here.
        CompileBlocksHook(backend="aot_eager").before_train(run(model))
    assert f"{space.num_blocks * space.num_candidates} candidates are compiled" in caplog.text
    for each in (model, twin):
        each.loss(**batch)["loss"].backward()
    expected = gradients(twin)
    assert gradients(model).keys() == expected.keys()
    for name, value in gradients(model).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-12)
    assert [*model.state_dict()] == names
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0


@pytest.mark.parametrize("dynamic", [False, True, None])
def test_its_options_are_those_of_torch_compile(space, caplog, dynamic):
    model = single_path(image_classifier(space))
    with caplog.at_level(logging.INFO):
        CompileBlocksHook(backend="eager", dynamic=dynamic).before_train(run(model))
    assert "candidates are compiled" in caplog.text


def test_hooks_of_compiled_blocks_are_called(space):
    model = single_path(image_classifier(space))
    network, images = model.backbone, torch.rand(4, 3, 32, 32).double()
    archs = [space.arch(arch) for arch in ("00-0", "13-2", "32-1")]

    def scores():
        return [naswot(path_part(network, arch), images) for arch in archs]

    expected = scores()
    assert len({round(score, 6) for score in expected}) == len(archs)
    CompileBlocksHook(backend="eager").before_train(run(model))
    # Compiled here, where nothing is hooked.
    for arch in archs:
        Statistics(network, functools.partial(network, arch=arch), [images])
    assert scores() == expected


def test_a_search_leaves_what_is_compiled(space, at_iteration):
    at_iteration(0, 0)
    model, images = single_path(image_classifier(space)), torch.rand(4, 3, 32, 32).double()
    network, archs = model.backbone, [space.arch(arch) for arch in ("00-0", "13-2")]
    compiled, ran = [], []

    def backend(graph, _):
        compiled.append(graph)
        return lambda *inputs: ran.append(graph) or graph.forward(*inputs)

    def step():
        before = len(compiled), len(ran)
        network.train()(images, archs[0])[0].sum().backward()
        return len(compiled) - before[0], len(ran) - before[1]

    CompileBlocksHook(backend=backend).before_train(run(model))
    assert step() > (0, 0)
    again = step()
    assert again[1] > again[0] == 0
    before = len(compiled)
    with borrowed(model):
        subnets = Subnets(network, archs, 1e9)
        for _ in range(3):
            subnets.calibrate(images)
        subnets.run(images, lambda *_: None)
    # Each momentum would be compiled anew, until PyTorch compiles these modules no more.
    assert len(compiled) == before
    assert step() == again


def test_a_run_goes_on_where_nothing_compiles(space, at_iteration, caplog):
    at_iteration(0, 0)
    model, batch = single_path(image_classifier(space)), labelled(4)
    with caplog.at_level(logging.WARNING):
        CompileBlocksHook(backend="none_of_them").before_train(run(model))
    assert "blocks are not compiled: " in caplog.text
    assert "none_of_them" in caplog.text
    assert model.loss(**batch)["loss"].isfinite()


@pytest.fixture(autouse=True)
def as_it_was():
    yield
    torch._dynamo.reset()
    torch._dynamo.config.suppress_errors = False
    torch._dynamo.config.skip_nnmodule_hook_guards = True
