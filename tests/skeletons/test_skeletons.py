"""Every skeleton with every operation: costs, paths and their exports, the start, state dicts."""

import copy
import itertools

import pytest
import torch
from mmengine.runner.checkpoint import get_state_dict, load_state_dict
from spaces import SPACES, archs, counted, images
from supernet_files import shaken
from torch import nn

from pinas_mm.export import subnet_of, write_subnet
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.models.cost import count_costs

CLASSES = 5
SIZES = (32, 32), (61, 45)
# By block, the candidates that have no shortcut there or cannot start as it.
APART = dict(
    mobilenet={1: (0, 1, 2), 3: (0, 1, 2)},
    mixed={0: (4,), 1: (4,), 2: (4,), 3: (4,)},
    masked={2: (4,), 3: (4,)},
    mobilenet_skips={2: (0, 1)},
)
# By block, the candidates that use the projection on the identity path.
PROJECTED = dict(
    resnest={0: (0, 1, 2, 3), 2: (0, 1, 2, 3)},
    plain={0: (0, 1, 2), 2: (0, 1, 2), 3: (0, 1, 2)},
    mixed={2: (0, 1, 2)},
    masked={2: (1,)},
    bottlenecks={0: (0, 1, 2, 3), 2: (0, 1, 2, 3)},
)
every_space = pytest.mark.parametrize("name", SPACES)


@pytest.fixture(scope="module")
def supernets():
    """Each space's supernet in evaluation mode, every weight and statistic its own."""
    return {
        name: shaken(PiNASSupernet(space, out_indices=range(len(space.depths))))
        for name, space in SPACES.items()
    }


class Classifier(nn.Module):
    """A stand-alone network and a matrix on what its last stage gives, pooled."""

    def __init__(self, arch, space):
        super().__init__()
        self.backbone = PiNASBackbone(arch, space)
        self.matrix = nn.Linear(space.out_channels[-1], CLASSES)

    def forward(self, x):
        return self.matrix(self.backbone(x)[-1].mean((2, 3)))


@every_space
def test_costs_are_those_counted_on_the_stand_alone_network(name):
    space = SPACES[name]
    with torch.device("meta"):
        supernet = PiNASSupernet(space)
    tables, costs = [count_costs(supernet, size, CLASSES) for size in SIZES], set()
    for arch in archs(space, 20):
        network = Classifier(arch, space)
        params = sum(parameter.numel() for parameter in network.parameters())
        for table, macs in zip(tables, counted(network, *SIZES), strict=True):
            assert (table.cost(arch).params, table.cost(arch).macs) == (params, macs)
        costs.add((params, macs))
    assert len(costs) > 5


@every_space
def test_a_path_is_bit_for_bit_the_backbone_of_its_exported_file(name, supernets, tmp_path):
    space, supernet, x, seen = SPACES[name], supernets[name], images(33, 46), []
    checkpoint = tmp_path / "supernet.pth"
    torch.save(dict(state_dict=supernet.state_dict()), checkpoint)
    for arch in archs(space, 5):
        file = tmp_path / f"{arch}.pth"
        write_subnet(file, subnet_of(checkpoint, arch, space), checkpoint)
        alone = PiNASBackbone(init_cfg=dict(type="Pretrained", checkpoint=str(file)))
        alone.init_weights()
        assert (alone.arch, alone.space) == (arch, space)
        with torch.no_grad(), supernet.on(arch):
            theirs, ours, called = alone.eval()(x), supernet(x), supernet(x, arch)
        assert tuple(out.shape[1] for out in theirs) == space.out_channels
        for one, other, same in zip(theirs, ours, called, strict=True):
            assert torch.equal(one, other)
            assert torch.equal(one, same)
            assert one.is_contiguous()
            assert other.is_contiguous()
        seen.append(theirs[-1])
    assert torch.stack(seen).isfinite().all()
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(seen, 2))


@every_space
def test_paths_start_equal_but_for_blocks_without_a_shortcut(name):
    torch.manual_seed(0)
    space, apart, kinds = SPACES[name], APART.get(name, {}), {}
    supernet, x = PiNASSupernet(space), images(32, 32)
    supernet.init_weights()
    for arch in archs(space, 20):
        own = tuple(c if c in apart.get(n, ()) else None for n, c in enumerate(arch))
        kinds.setdefault(own, []).append(arch)
    assert (len(kinds) == 1) == (not apart)
    for train in (True, False):
        firsts = []
        for alike in kinds.values():
            with torch.no_grad():
                first, *others = (supernet.train(train)(x, arch)[0] for arch in alike)
            assert first.std() > 0
            assert all(torch.equal(first, other) for other in others)
            firsts.append(first)
        assert not any(torch.equal(a, b) for a, b in itertools.combinations(firsts, 2))


@every_space
@pytest.mark.parametrize("load", [nn.Module.load_state_dict, load_state_dict])
def test_state_dicts_round_trip_through_pytorch_and_mmengine(name, supernets, load):
    state = supernets[name].state_dict()
    by_mmengine = get_state_dict(supernets[name])
    assert list(by_mmengine) == list(state)
    other = PiNASSupernet(SPACES[name])
    load(other, {key: value.clone() for key, value in by_mmengine.items()}, strict=True)
    assert list(other.state_dict()) == list(state)
    for key, value in other.state_dict().items():
        assert torch.equal(value, by_mmengine[key])
        assert torch.equal(value, state[key])


@every_space
def test_a_shortcut_is_saved_under_each_candidate_that_uses_it_and_listed_once(name, supernets):
    blocks, supernet, shared = list(SPACES[name].blocks()), supernets[name], {}
    for key, value in supernet.state_dict().items():
        user, found, weight = key.partition(".downsample.")
        if found:
            block, _, choice = user.rpartition(".")
            places = shared.setdefault((block, weight), {})
            places[int(choice)] = value.data_ptr()
    users = {block: tuple(places) for (block, _), places in shared.items()}
    assert users == {blocks[n].name: choices for n, choices in PROJECTED.get(name, {}).items()}
    assert all(len(set(places.values())) == 1 for places in shared.values())
    listed = [id(p) for _, p in supernet.named_parameters(remove_duplicate=False)]
    saved = [id(value) for value in supernet.state_dict(keep_vars=True).values()]
    assert len(listed) == len(set(listed))
    assert set(listed) <= set(saved)


@every_space
def test_a_copy_computes_with_its_own_weights_and_shares_shortcuts_as_the_original(name, supernets):
    space, original, x = SPACES[name], supernets[name], images(32, 32)
    twin, other = copy.deepcopy(original), PiNASSupernet(space).eval()
    assert not set(map(id, twin.modules())) & set(map(id, original.modules()))
    ties = []
    for network in (original, twin):
        places = {}
        for key, value in network.state_dict().items():
            places.setdefault(value.data_ptr(), []).append(key)
        ties.append(places)
    assert not ties[0].keys() & ties[1].keys()
    assert list(ties[0].values()) == list(ties[1].values())
    drawn = archs(space, 5)
    with torch.no_grad():
        before = [original(x, arch)[-1] for arch in drawn]
        assert all(torch.equal(twin(x, arch)[-1], b) for arch, b in zip(drawn, before, strict=True))
        twin.load_state_dict(other.state_dict())
        for arch, was in zip(drawn, before, strict=True):
            assert torch.equal(twin(x, arch)[-1], other(x, arch)[-1])
            assert torch.equal(original(x, arch)[-1], was)
            assert not torch.equal(twin(x, arch)[-1], was)
