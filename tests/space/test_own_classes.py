"""Spaces of classes that users derive, name otherwise or give as they are: they are their dicts."""

import dataclasses
import json

import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.config import ConfigDict
from torch import nn

from pinas_mm import get_backbone
from pinas_mm.errors import UserError
from pinas_mm.export import write_subnet
from pinas_mm.models import PiNASBackbone
from pinas_mm.operations import Module, Operation, ResNeStBottleneck, ResNetBottleneck
from pinas_mm.registry import MODELS, OPERATIONS, SKELETONS, name_of, plain, written
from pinas_mm.skeletons import PlainSkeleton, ResNeStSkeleton
from pinas_mm.space import SearchSpace


@SKELETONS.register_module()
@dataclasses.dataclass(frozen=True)
class SiluSkeleton(ResNeStSkeleton):
    def stem(self, in_channels, widths, norm_cfg):
        return super().stem(in_channels, widths, norm_cfg) | dict(relu=nn.SiLU())


@SKELETONS.register_module(name="Plainest")
@dataclasses.dataclass(frozen=True)
class Renamed(PlainSkeleton):
    pass


@OPERATIONS.register_module()
@dataclasses.dataclass(frozen=True)
class PoolFirst(ResNeStBottleneck):
    avd_first = True


@OPERATIONS.register_module(name="Widening")
@dataclasses.dataclass(frozen=True)
class Conv(Operation):
    kernel: int = 3

    def build(self, spec, shortcut, norm_cfg):
        side = self.kernel
        return nn.Conv2d(spec.in_channels, spec.out_channels, side, spec.stride, side // 2)


@OPERATIONS.register_module(name="mine.ResNetBottleneck")
@dataclasses.dataclass(frozen=True)
class Bottleneck(ResNetBottleneck):
    pass


Bottleneck.__name__ = "ResNetBottleneck"


@dataclasses.dataclass(frozen=True)
class Unregistered(Conv):
    pass


@OPERATIONS.register_module()
@dataclasses.dataclass(frozen=True)
class OwnModule(Module):
    pass


class Block(nn.Conv2d):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__(in_channels, out_channels, 1, stride)


PLAIN = dict(skeleton="pinas_mm.PlainSkeleton", depths=(1, 1), widths=(8, 16), strides=(1, 2))
SMALL = dict(depths=(1, 1), widths=(16, 32), strides=(2, 2), expansion=1, stem_widths=(4, 4, 8))
SPACES = {
    "skeleton": dict(SMALL, candidates=[(1, 1, 64), (2, 1, 64)], skeleton=SiluSkeleton()),
    "skeleton by class": dict(SMALL, candidates=[(1, 1, 64)], skeleton=dict(type=SiluSkeleton)),
    "renamed skeleton": dict(PLAIN, skeleton="Plainest", candidates=["Widening"]),
    "operation": dict(SMALL, candidates=[PoolFirst(1, 1, 64), (2, 1, 64)]),
    "renamed": dict(PLAIN, candidates=["Widening", dict(type=Conv, kernel=1)]),
    "name of ours": dict(PLAIN, candidates=[Bottleneck(), ResNetBottleneck()]),
    "unregistered": dict(PLAIN, candidates=[Unregistered(5)]),
    "module": dict(
        PLAIN,
        candidates=[
            dict(type=Module, cfg=dict(type=ConvModule, kernel_size=1, act_cfg=dict(type=nn.SiLU)))
        ],
    ),
    "own module": dict(PLAIN, candidates=[dict(type="OwnModule", cfg=dict(type=Block))]),
    "config": dict(PLAIN, candidates=[ConfigDict(type=OwnModule, cfg=dict(type=Block))]),
}


@pytest.mark.parametrize("name", SPACES)
def test_a_space_is_its_dict_and_its_file(tmp_path, name):
    space = SearchSpace.build(SPACES[name])
    again = SearchSpace.build(space.to_dict())
    assert again == space
    assert hash(again) == hash(space)
    assert type(again.skeleton) is type(space.skeleton)
    assert [*map(type, again.candidates)] == [*map(type, space.candidates)]
    assert SearchSpace.build(json.loads(json.dumps(space.to_dict()))) == space
    assert SearchSpace.build(plain(ConfigDict(SPACES[name]))) == space

    backbone = PiNASBackbone("00", space, norm_cfg=dict(type=nn.BatchNorm2d))
    backbone.init_weights()
    backbone.eval()
    file = tmp_path / "winner.pth"
    torch.save({}, tmp_path / "source.pth")
    write_subnet(file, backbone, tmp_path / "source.pth")
    # A file's own word builds no module but plain ones.
    said = dict(space=space) if name in ("own module", "config") else {}
    read = get_backbone(pretrained=file, **said).eval()
    images = torch.rand(2, 3, 16, 16)
    assert read.space == space
    assert torch.equal(read(images)[-1], backbone(images)[-1])


def test_names_lead_back():
    @MODELS.register_module(force=True)
    class Registered(nn.Module):
        pass

    class Hidden(nn.Module):
        pass

    assert name_of(nn.BatchNorm2d) == "mmengine.BN"
    assert name_of(Registered) == "pinas_mm.Registered"
    assert name_of(Conv) == name_of(Conv, OPERATIONS) == "Widening"
    assert name_of(ResNetBottleneck, OPERATIONS) == "pinas_mm.ResNetBottleneck"
    assert name_of(Block) == f"{__name__}.Block"
    assert name_of(nn.Sequential) == "torch.nn.modules.container.Sequential"
    given = dict(type=Hidden, inner=[dict(type=Block), (dict(type=nn.SiLU), 1)])
    silu = dict(type=name_of(nn.SiLU))
    texts = dict(type=Hidden, inner=[dict(type=name_of(Block)), (silu, 1)])
    # Nothing leads to a class inside of a function, but it can be written down.
    assert plain(given) == texts
    assert written(given) == texts | dict(type=name_of(Hidden))
    assert "<locals>" in Module(dict(type=Hidden)).to_dict()["cfg"]["type"]
    assert Module(dict(type=Hidden)).cfg["type"] is Hidden


def test_names_lead_to_operations_alone():
    for kind in ("os.system", f"{__name__}.Block", f"{__name__}.Renamed", "nowhere.Conv"):
        with pytest.raises(UserError, match="is unknown"):
            SearchSpace.build(dict(PLAIN, candidates=[kind]))
