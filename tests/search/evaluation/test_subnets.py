"""Subnets of one walk have the statistics that each has alone."""

import dataclasses
from functools import partial

import pytest
import torch
from torch import nn

from pinas_mm.models import PiNASSupernet
from pinas_mm.models.batch_norm import Statistics
from pinas_mm.operations import Operation
from pinas_mm.registry import OPERATIONS
from pinas_mm.search.evaluation.prefixes import PrefixTree
from pinas_mm.search.evaluation.subnets import Subnets, _path, borrowed
from pinas_mm.space import SearchSpace
from pinas_mm.space.space import MAX_BLOCKS


class Twice(nn.Module):
    """A block whose only norm runs as often as it is told."""

    def __init__(self, channels, times):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, 1, 1) for _ in range(times))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        for conv in self.convs:
            x = self.norm(conv(x)).relu()
        return x


@OPERATIONS.register_module()
@dataclasses.dataclass(frozen=True)
class SharedNorm(Operation):
    times: int = 1

    def build(self, spec, shortcut, norm_cfg):
        return Twice(spec.in_channels, self.times)


@pytest.fixture
def supernet():
    space = SearchSpace(
        candidates=[dict(type="SharedNorm", times=times) for times in (1, 2, 3)],
        skeleton=dict(type="pinas_mm.PlainSkeleton", stem_width=8),
        depths=(3,),
        widths=(8,),
        strides=(1,),
    )
    torch.manual_seed(0)
    network = PiNASSupernet(space).double()
    network.init_weights()
    return network.eval()


@pytest.mark.parametrize("limit", [0, 2**14, 2**30])
def test_a_norm_that_runs_several_times_a_batch_has_the_mean_of_all(supernet, limit):
    random = torch.Generator().manual_seed(1)
    calibration = [torch.rand(4, 3, 16, 16, generator=random).double() for _ in range(3)]
    images = torch.rand(3, 3, 16, 16, generator=random).double()
    archs = [supernet.space.arch(arch) for arch in ("000", "010", "011", "120", "122", "210")]
    found = {}
    with borrowed(supernet):
        subnets = Subnets(supernet, archs, limit)
        for batch in calibration:
            subnets.calibrate(batch)
        subnets.run(images, lambda own, feats: found.update(dict.fromkeys(own, feats)))
    for index, arch in enumerate(archs):
        alone = Statistics(supernet, partial(supernet, arch=arch), calibration)
        with alone.applied(), torch.no_grad():
            torch.testing.assert_close(found[index], supernet(images, arch))


def test_the_path_of_the_deepest_architecture():
    nodes = list(PrefixTree([(0,) * MAX_BLOCKS]).nodes())
    assert _path(nodes[-1]) == nodes
