"""Folded networks compute what they did, and keep what cannot be folded."""

import pytest
import torch
from deployed import trained
from spaces import SPACES, archs
from supernet_files import shaken
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone
from pinas_mm.models.folding import fold_batch_norms

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
NORMS = dict(BN=dict(type="BN"), SyncBN=dict(type="SyncBN"), GN=dict(type="GN", num_groups=2))


def norms(module):
    return sum(isinstance(layer, _BatchNorm) for layer in module.modules())


def assert_same(one, other, images):
    """Relative to an output's largest value."""
    found, wanted = ([*out] if isinstance(out, tuple) else [out] for out in (other, one))
    for a, b in zip(found, wanted, strict=True):
        assert b.std() > 1e-3
        bound = TOLERANCE[images.dtype] * b.abs().max().item()
        torch.testing.assert_close(a, b, rtol=0, atol=bound)


def images(dtype=torch.float64):
    return torch.randn(2, 3, 64, 40, dtype=dtype, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", SPACES)
def test_every_operation_and_skeleton(name, dtype):
    space = SPACES[name]
    for arch in archs(space, 3):
        backbone = shaken(PiNASBackbone(arch, space)).to(dtype).eval()
        before = backbone.state_dict()
        folded = fold_batch_norms(backbone, images(dtype)[:1])
        assert_same(backbone(images(dtype)), folded(images(dtype)), images(dtype))
        assert norms(folded) == 0
        after = backbone.state_dict()
        assert all(after[key] is not None and after[key].equal(before[key]) for key in before)
        assert not folded.training


@torch.no_grad()
@pytest.mark.parametrize("kind", NORMS)
def test_every_kind_of_norm(kind, space):
    backbone = shaken(PiNASBackbone("31-2", space, norm_cfg=NORMS[kind])).double().eval()
    folded = fold_batch_norms(backbone, images())
    assert_same(backbone(images()), folded(images()), images())
    assert norms(folded) == 0
    assert len(folded.state_dict()) == (
        len(backbone.state_dict()) if kind == "GN" else len(list(folded.parameters()))
    )


@torch.no_grad()
def test_memory_stays_in_channels_last(space):
    backbone = trained(PiNASBackbone("31-2", space))
    folded = fold_batch_norms(backbone, images(torch.float32))
    convs = [m for m in folded.modules() if isinstance(m, nn.Conv2d)]
    assert convs
    for conv in convs:
        assert conv.weight.is_contiguous(memory_format=torch.channels_last)


class Twice(nn.Module):
    """What else reads a convolution's output, and what runs twice."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.other = nn.BatchNorm2d(3)
        self.standardized = Standardized(3, 3, 1)
        self.untracked = nn.BatchNorm2d(3, track_running_stats=False)

    def forward(self, x):
        if self.kind == "skip":
            x = self.conv(x)
            return self.norm(x) + x
        if self.kind == "two norms":
            x = self.conv(x)
            return self.norm(x) + self.other(x)
        if self.kind == "shared convolution":
            return self.norm(self.conv(x)) + self.conv(x)
        if self.kind == "shared norm":
            return self.norm(self.conv(x)) + self.norm(x)
        if self.kind == "after an activation":
            return self.norm(self.conv(x).relu())
        if self.kind == "in place between":
            return self.norm(self.conv(x).mul_(-1))
        if self.kind == "norm first":
            return self.conv(self.norm(x))
        if self.kind == "returned":
            x = self.conv(x)
            return self.norm(x), x
        if self.kind == "own convolution":
            return self.norm(self.standardized(x))
        return self.untracked(self.conv(x))


class Standardized(nn.Conv2d):
    def forward(self, x):
        return nn.functional.conv2d(x, self.weight - self.weight.mean(), self.bias)


KINDS = (
    "skip",
    "two norms",
    "shared convolution",
    "shared norm",
    "after an activation",
    "in place between",
    "norm first",
    "returned",
    "own convolution",
    "untracked",
)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_what_others_read_stays(kind):
    module = shaken(Twice(kind)).double().eval()
    if kind == "untracked":
        # It normalizes by its batch in evaluation mode, too.
        module.untracked.eval()
    folded = fold_batch_norms(module, images())
    assert_same(module(images()), folded(images()), images())
    assert norms(folded) == norms(module)


def test_training_mode_is_refused(space):
    backbone = PiNASBackbone("31-2", space)
    with pytest.raises(UserError, match=r"call eval\(\) before fold_batch_norms"):
        fold_batch_norms(backbone, images(torch.float32))
    backbone.eval().layer1[0].bn1.train()
    with pytest.raises(UserError, match="normalizes by its batch"):
        fold_batch_norms(backbone, images(torch.float32))


def doubled(module, *values):
    return values[-1] * 2


def with_hook(conv, norm):
    norm.register_forward_hook(doubled)


def with_pre_hook(conv, norm):
    norm.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))


def with_convolution_s_hook(conv, norm):
    conv.register_forward_hook(doubled)


def with_convolution_s_pre_hook(conv, norm):
    conv.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))


def with_parametrization(conv, norm):
    nn.utils.parametrizations.weight_norm(conv)


def with_norm_s_parametrization(conv, norm):
    nn.utils.parametrize.register_parametrization(norm, "weight", nn.Softplus(), unsafe=True)


@torch.no_grad()
@pytest.mark.parametrize(
    "change",
    [
        with_hook,
        with_pre_hook,
        with_convolution_s_hook,
        with_convolution_s_pre_hook,
        with_parametrization,
        with_norm_s_parametrization,
    ],
)
def test_layers_that_do_more_stay(change):
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1))
    change(*module[:2])
    module = shaken(module).double().eval()
    folded = fold_batch_norms(module, images())
    assert_same(module(images()), folded(images()), images())
    assert norms(folded) == norms(module)
