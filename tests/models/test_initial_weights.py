"""What a network starts with: mmengine's draws, an operation's own, what is loaded."""

import dataclasses

import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule, Sequential, initialize
from spaces import SPACES
from torch import nn

from pinas_mm import get_backbone
from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.models.initial_weights import DEFAULT_INIT
from pinas_mm.operations import Module, Operation, ResNetBottleneck
from pinas_mm.skeletons import PlainSkeleton
from pinas_mm.space import SearchSpace


class Own(BaseModule):
    """Initializes its convolution by its config and a table by itself."""

    def __init__(self, in_channels, out_channels, stride=1, init_cfg=None):
        super().__init__(init_cfg)
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.table = nn.Parameter(torch.zeros(3))

    def init_weights(self):
        super().init_weights()
        nn.init.constant_(self.table, 7)

    def forward(self, x):
        return self.conv(x) + self.table.sum()


@dataclasses.dataclass(frozen=True)
class Sequence(Operation):
    """One's own within a container that initializes nothing."""

    def build(self, spec, shortcut, norm_cfg):
        return nn.Sequential(Own(spec.in_channels, spec.out_channels, spec.stride, HALF))


class Filtered(nn.Module):
    """A fixed mean over pixels, then a convolution that learns."""

    def __init__(self, spec):
        super().__init__()
        channels = spec.in_channels
        self.blur = nn.Conv2d(channels, channels, 3, spec.stride, 1, groups=channels, bias=False)
        self.blur.weight.requires_grad_(False).fill_(1 / 9)
        self.mix = nn.Conv2d(channels, spec.out_channels, 1)

    def forward(self, x):
        return self.mix(self.blur(x))


@dataclasses.dataclass(frozen=True)
class Blur(Operation):
    def build(self, spec, shortcut, norm_cfg):
        return Filtered(spec)


class OwnSkeleton(PlainSkeleton):
    """Its stem and its shortcuts are the libraries', which initialize themselves."""

    input_weight = "stem.conv.weight"

    def stem(self, in_channels, widths, norm_cfg):
        return dict(stem=ConvModule(in_channels, self.stem_width, 3, padding=1, norm_cfg=norm_cfg))

    def shortcut(self, spec, norm_cfg):
        if not spec.shortcut:
            return None
        init = dict(type="Constant", layer="Conv2d", val=0.25)
        conv = nn.Conv2d(spec.in_channels, spec.out_channels, 1, spec.stride)
        return nn.Sequential(Sequential(conv, init_cfg=init))


HALF = dict(type="Constant", layer="Conv2d", val=0.5)
OWN = dict(type=Own, init_cfg=HALF)


def space_of(*candidates, skeleton=PlainSkeleton):
    candidates = [*candidates, ResNetBottleneck()]
    return SearchSpace(candidates, (1, 1), (8, 16), (1, 2), skeleton=skeleton(stem_width=8))


def started(network):
    network.init_weights()
    return network


NETWORKS = dict(
    supernet=lambda space, **options: started(PiNASSupernet(space, **options)),
    backbone=lambda space, **options: started(PiNASBackbone("0-0", space, **options)),
    function=lambda space, **options: get_backbone("0-0", space=space, **options),
    # As a model initializes its backbone.
    within=lambda space, **options: started(Sequential(PiNASSupernet(space, **options)))[0],
)
every_kind = pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)


@every_kind
@pytest.mark.parametrize(
    "operation",
    [Module(OWN), Module(OWN, residual=True), Sequence()],
    ids=["whole", "residual", "sequence"],
)
def test_an_operation_initializes_itself_once(build, operation):
    network = build(space_of(operation))
    owns = [module for module in network.modules() if isinstance(module, Own)]
    assert len(owns) == 2
    for own in owns:
        assert (own.conv.weight == 0.5).all()
        assert (own.table == 7).all()
        nn.init.zeros_(own.table)
    network.init_weights()
    assert not any(own.table.any() for own in owns)


@every_kind
def test_shortcuts_do_too(build):
    network = build(space_of(skeleton=OwnSkeleton))
    kept = [p for p in network.parameters() if p.shape == (16, 8, 1, 1) and (p == 0.25).all()]
    assert len(kept) == 1


@every_kind
@pytest.mark.parametrize("init_cfg", [None, dict(type="Normal", layer="Conv2d", std=1.0)])
def test_what_was_built_not_to_learn_stays(build, init_cfg):
    network = build(space_of(Blur()), init_cfg=init_cfg)
    filters = [module for module in network.modules() if isinstance(module, Filtered)]
    assert len(filters) == 2
    for module in filters:
        assert (module.blur.weight == 1 / 9).all()
        assert not module.mix.bias.any()
        assert module.mix.weight.std() > 0.1


@pytest.mark.parametrize("name", ["resnest", "plain", "mobilenet", "convnext", "convnext_mixed"])
@pytest.mark.parametrize("options", [{}, dict(frozen_stages=1), dict(out_indices=(0,))], ids=str)
def test_the_rest_is_drawn_as_mmengine_draws_it(name, options):
    """Whatever is frozen or returned."""
    torch.manual_seed(0)
    expected = PiNASSupernet(SPACES[name])
    initialize(expected, list(DEFAULT_INIT))
    for module in expected.modules():
        if hasattr(module, "zero_residual"):
            module.zero_residual()
    torch.manual_seed(0)
    state = NETWORKS["supernet"](SPACES[name], **options).state_dict()
    assert state.keys() == expected.state_dict().keys()
    for key, value in expected.state_dict().items():
        assert torch.equal(state[key], value), key


@pytest.mark.parametrize("kind", ["supernet", "backbone", "within"])
def test_what_is_loaded_is_kept(kind, tmp_path):
    space, file = space_of(Module(OWN), skeleton=OwnSkeleton), tmp_path / "weights.pth"
    network = NETWORKS[kind](space)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.copy_(torch.rand(value.shape) * 9)
    torch.save(network.state_dict(), file)
    loaded = NETWORKS[kind](space, init_cfg=dict(type="Pretrained", checkpoint=str(file)))
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


@pytest.mark.parametrize("loader", ["Pretrained", "pinas_mm.FromSupernet"])
def test_an_init_cfg_without_type_or_checkpoint_is_refused(space, loader):
    untyped = dict(checkpoint="winner.pth")
    for init_cfg in (untyped, [untyped], [dict(type=None)], ["Kaiming"]):
        with pytest.raises(UserError, match=r"init_cfg is .*: give a dict with a type"):
            PiNASBackbone("31-2", space, init_cfg=init_cfg).init_weights()
    for init_cfg in (dict(type=loader), [dict(type=loader, checkpoint=None)]):
        with pytest.raises(UserError, match=r"without a checkpoint: give a \.pth file"):
            PiNASBackbone("31-2", space, init_cfg=init_cfg).init_weights()
        with pytest.raises(UserError, match=r"without a checkpoint: give a \.pth file"):
            PiNASBackbone(init_cfg=init_cfg)
