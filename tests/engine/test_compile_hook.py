"""Candidates compiled one by one compute what they did, under the same names."""

import copy
import logging
from types import SimpleNamespace

import pytest
import torch
from single_paths import gradients, image_classifier, labelled, single_path

from pinas_mm.engine import CompileBlocksHook

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
