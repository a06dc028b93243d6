"""A subnet's features are, bit for bit, the supernet's own on its path."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.space import SearchSpace
from pinas_mm.weights.initializers import load_subnet

# The paper's space, a quarter as wide.
PAPER = SearchSpace(widths=(16, 32, 64, 128), stem_widths=(8, 8, 16))
STRIDE_8 = SearchSpace.build({**PAPER.to_dict(), "strides": (1, 2, 1, 1)})
DILATIONS = (1, 1, 2, 4)
LAYOUTS = {
    "stride 32": (PAPER, {}),
    "stride 8 of the space": (STRIDE_8, dict(dilations=DILATIONS)),
}
X = torch.randn(1, 3, 72, 40, generator=torch.Generator().manual_seed(0))


def supernet_of(space, **layout):
    """With random weights and statistics: fresh ones make all paths equal."""
    torch.manual_seed(0)
    supernet = PiNASSupernet(space, out_indices=range(4), **layout)
    for module in supernet.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return supernet.eval()


def same(ours, theirs):
    return [torch.equal(one, other) for one, other in zip(ours, theirs, strict=True)]


@torch.no_grad()
@pytest.mark.parametrize("layout", LAYOUTS)
def test_twenty_random_architectures(layout):
    space, options = LAYOUTS[layout]
    supernet = supernet_of(space, **options)
    state, seen = supernet.state_dict(), []
    for arch in space.sample(20, np.random.default_rng(0)):
        backbone = PiNASBackbone(arch, space, **options).eval()
        load_subnet(backbone, state, "the supernet")
        features = backbone(X)
        assert all(same(features, supernet(X, arch))), arch
        seen.append(features[-1])
    # Of different architectures, as these features show.
    assert not any(torch.equal(one, other) for one, other in itertools.pairwise(seen))


@torch.no_grad()
def test_where_the_network_drops_the_spaces_stride_only_the_pools_differ():
    layout = dict(strides=(1, 2, 1, 1), dilations=DILATIONS)
    supernet = supernet_of(PAPER, **layout)
    for arch in PAPER.sample(3, np.random.default_rng(1)):
        backbone = PiNASBackbone(arch, PAPER, **layout).eval()
        load_subnet(backbone, supernet.state_dict(), "the supernet")
        assert same(backbone(X), supernet(X, arch)) == [True, True, False, False]
        for stage in backbone.stages[2:]:
            assert stage[0].pool.stride == 1
            stage[0].pool = None
        assert all(same(backbone(X), supernet(X, arch)))
