"""Forms of a network compute what it does, and what is not here is refused in words."""

import functools
import itertools

import pytest
import torch
from deployed import trained
from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone
from pinas_mm.models.deployed import deployed

CPU = torch.device("cpu")
BOUNDS = dict(float32=1e-5, bfloat16=0.1, float16=0.02)


def images(side):
    return torch.randn(2, 3, side, 40, generator=torch.Generator().manual_seed(0))


def assert_same(one, other, bound):
    assert type(one) is type(other)
    pairs = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
    for a, b in pairs:
        bound = bound * b.abs().max().item()
        torch.testing.assert_close(a.float(), b, rtol=0, atol=bound)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("form", "dtype"),
    [*itertools.product(["eager", "folded"], BOUNDS), ("onnx", "float32")],
)
def test_every_form_computes_what_the_network_does(form, dtype, space):
    backbone = trained(PiNASBackbone("31-2", space, out_indices=(0, 1)))
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    run = deployed(backbone, images(32), form, dtype)
    # Another size and number than those that it was made with.
    for x in (images(32), images(48)[:1]):
        assert_same(run(x.to(getattr(torch, dtype))), backbone(x), BOUNDS[dtype])
    after = backbone.state_dict()
    assert all(after[name].equal(value) for name, value in before.items())


@torch.inference_mode()
def test_one_map_stays_one(space):
    backbone = trained(PiNASBackbone("31-2", space))
    stem = nn.Sequential(*backbone.stem_modules)
    for form in ("folded", "onnx"):
        assert_same(deployed(stem, images(32), form)(images(32)), stem(images(32)), 1e-5)


@torch.inference_mode()
def test_compiled_blocks_compute_the_same(space):
    block = nn.Sequential(*trained(PiNASBackbone("31-2", space)).stem_modules)
    run = deployed(block, images(32), "compiled")
    assert_same(run(images(32)), block(images(32)), 1e-5)


# What CompileBlocksHook leaves behind it.
@pytest.mark.parametrize("suppressed", [True, False])
def test_what_cannot_be_compiled_is_said(suppressed):
    with (
        torch._dynamo.config.patch(suppress_errors=suppressed),
        torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}),
        pytest.raises(UserError, match=r"cannot compile this here .*form='folded' needs neither"),
    ):
        deployed(nn.Hardswish(), images(8), "compiled")


@torch.inference_mode()
def test_no_network_is_one_too_many_to_be_compiled(monkeypatch):
    # PyTorch's tracing without its code generation, which takes seconds for each.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    graphs = torch._dynamo.utils.counters["stats"]
    before = graphs["unique_graphs"]
    kept = [
        deployed(nn.Sequential(nn.Conv2d(3, width, 1)), images(8), "compiled")
        for width in range(1, 12)
    ]
    assert graphs["unique_graphs"] - before == len(kept)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(form="fast"), "form is 'fast': eager, folded, compiled, onnx are allowed"),
        (dict(dtype="int8"), "dtype is 'int8': float32, bfloat16, float16 are allowed"),
        (dict(form="onnx", dtype="bfloat16"), "not on cpu in bfloat16"),
    ],
)
def test_others_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        deployed(nn.Identity(), images(8), **options)
