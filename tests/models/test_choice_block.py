"""Candidates run the shortcut that their block has, also after its norms were converted."""

import copy
import dataclasses

import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from supernet_files import shaken
from torch import nn

from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.models.batch_norm import Statistics, batch_statistics
from pinas_mm.operations import Operation, ResNetBottleneck
from pinas_mm.operations.norms import norm_layer
from pinas_mm.skeletons import PlainSkeleton
from pinas_mm.space import SearchSpace
from pinas_mm.weights.subnet import subnet_state


class NormSkeleton(PlainSkeleton):
    """As RepVGG: where a block keeps the shape, a norm alone is beside it."""

    def shortcut(self, spec, norm_cfg):
        return super().shortcut(spec, norm_cfg) or norm_layer(norm_cfg, spec.in_channels)


@dataclasses.dataclass(frozen=True)
class Project(Operation):
    """The shortcut and what follows it, in a container; or the shortcut itself."""

    follows: bool = True

    def build(self, spec, shortcut, norm_cfg):
        return nn.Sequential(shortcut, nn.Tanh()) if self.follows else shortcut


def convert(network):
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)


def put(network):
    """Sets norms in place of those that are there, as who writes a converter may."""
    for block in network.stages[0]:
        block.shortcut = copy.deepcopy(block.shortcut)
    return network


SPACE = SearchSpace(
    [ResNetBottleneck(), ResNetBottleneck(5), Project(), Project(follows=False)],
    (2, 1),
    (8, 16),
    (1, 2),
    skeleton=NormSkeleton(stem_width=8),
)
X = torch.randn(4, 3, 9, 9, generator=torch.Generator().manual_seed(0))
WAYS = [(dict(type="SyncBN"), revert_sync_batchnorm), (dict(type="BN"), convert), (None, put)]
ARCHS = [f"{first}{second}-0" for first in range(4) for second in range(4)]


@pytest.fixture(params=WAYS, ids=lambda way: way[1].__name__)
def converted(request):
    norm_cfg, way = request.param
    torch.manual_seed(0)
    network = shaken(PiNASSupernet(SPACE, norm_cfg=norm_cfg))
    names = [*network.state_dict()]
    network = way(network.train())
    assert [*network.state_dict()] == names
    return network


def test_what_runs_is_in_the_mode_that_the_network_is_in(converted):
    converted.eval()
    alone = [PiNASBackbone(arch, SPACE, out_indices=(1,)).eval() for arch in ARCHS]
    for arch, backbone in zip(ARCHS, alone, strict=True):
        arch = SPACE.arch(arch)
        backbone.load_state_dict(subnet_state(converted.state_dict(), arch, SPACE))
        with torch.no_grad():
            assert torch.equal(converted(X, arch)[0].contiguous(), backbone(X)[0])
            # A norm in training mode would see the other images.
            torch.testing.assert_close(converted(X[:2], arch)[0], backbone(X)[0][:2])


def test_its_statistics_are_recomputed_and_copies_have_their_own(converted):
    copied = copy.deepcopy(converted)
    before = converted.layer1[0].shortcut.running_mean.clone()
    for network in (converted, copied):
        for block in network.layer1:
            assert {id(block[0].downsample), id(block[2].body[0].module)} == {id(block.shortcut)}
    if not any(isinstance(module, nn.SyncBatchNorm) for module in copied.modules()):
        Statistics(copied, lambda x: copied(x, "00-0"), [X]).write()
        with batch_statistics(copied):
            expected = copied.forward_stem(X).mean((0, 2, 3))
        torch.testing.assert_close(copied.layer1[0].shortcut.running_mean, expected)
        assert not torch.allclose(expected, before)
    assert torch.equal(converted.layer1[0].shortcut.running_mean, before)


def test_a_shortcut_that_is_a_candidate_too_is_listed_once():
    network = PiNASSupernet(SPACE)
    listed = [id(p) for _, p in network.named_parameters(remove_duplicate=False)]
    assert len(listed) == len(set(listed))
    state = network.state_dict()
    names = ("0.downsample.weight", "1.downsample.weight", "2.body.0.weight", "3.weight")
    places = {state[f"layer1.0.{name}"].data_ptr() for name in names}
    assert len(places) == 1
    other = PiNASSupernet(SPACE)
    other.load_state_dict({name: value.clone() for name, value in state.items()})
    for name, value in other.state_dict().items():
        assert torch.equal(value, state[name])
