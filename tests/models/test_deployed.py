"""Forms of a network compute what it does, and what is not here is refused in words."""

import itertools
import subprocess
import sys

import pytest
import torch
from deployed import trained
from torch import nn

from pinas_mm.compat import TORCH
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
    if dtype == "float16" and TORCH < (2, 2):
        with pytest.raises(UserError, match=r"PyTorch 2\.1.* does not compute on CPUs"):
            deployed(backbone, images(32), form, dtype)
        return
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


# In a process of its own: what compiles is of the whole process, and so is what PyTorch remembers
# that it cannot compile.
COMPILED = """
import functools
import torch
from torch import nn
from pinas_mm.errors import UserError
from pinas_mm.models.deployed import deployed

images = torch.randn(2, 3, 8, 8)
graphs = torch._dynamo.utils.counters["stats"]
network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Hardswish()).eval()
with torch.inference_mode():
    run = deployed(network, images, "compiled")
    assert graphs["unique_graphs"] == 1
    torch.testing.assert_close(run(images), network(images), rtol=1e-5, atol=1e-5)
no_compiler = {"cpp.cxx": ("no-such-compiler",)}
# What CompileBlocksHook leaves behind it, and what PyTorch then does not compile a second time.
for suppressed in (True, False):
    with (
        torch._dynamo.config.patch(suppress_errors=suppressed),
        torch._inductor.config.patch(no_compiler),
    ):
        if suppressed:
            torch.compile(nn.Hardswish(), dynamic=False)(images)
        try:
            deployed(nn.Hardswish(), images, "compiled")
        except UserError as error:
            print(error)
# PyTorch's tracing without its code generation, which takes seconds for each.
torch.compile = functools.partial(torch.compile, backend="eager")
before = graphs["unique_graphs"]
kept = [deployed(nn.Sequential(nn.Conv2d(3, n, 1)), images, "compiled") for n in range(1, 12)]
assert graphs["unique_graphs"] - before == len(kept)
if hasattr(torch.compiler, "set_stance"):
    with torch.compiler.set_stance("force_eager"):
        try:
            deployed(network, images, "compiled")
        except UserError as error:
            print(error)
"""


@pytest.mark.slow
def test_a_network_is_compiled_or_that_is_said():
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    refused, again, *left = done.stdout.splitlines()
    assert refused == again
    assert "cannot compile this here (InvalidCxxCompiler" in refused
    assert "form='folded' needs neither" in refused
    # A way to leave something as it is came with PyTorch 2.6.
    said = "torch.compile cannot compile this here (it left it as it is)"
    assert [line.startswith(said) for line in left] == [True] * (TORCH >= (2, 6))


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


def test_a_package_that_onnx_takes_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"form='onnx' needs onnxruntime, .*pinas_mm\[deploy\]"):
        deployed(nn.Identity(), images(8), "onnx")


def test_float16_is_refused_where_this_pytorch_has_none(monkeypatch):
    monkeypatch.setattr("pinas_mm.models.deployed.float16_on_cpu", lambda: False)
    with pytest.raises(UserError, match="take 'bfloat16' or 'float32', or a newer PyTorch"):
        deployed(nn.Identity(), images(8), dtype="float16")
