"""Networks of every skeleton by other options, run together, and loaded from others' files."""

import pytest
import torch
from spaces import SPACES, archs, counted, images
from supernet_files import shaken
from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.export import subnet_of, write_subnet
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.models.batch_norm import Statistics
from pinas_mm.models.cost import count_costs
from pinas_mm.operations import ResNetBottleneck
from pinas_mm.search.evaluation.subnets import Subnets, borrowed
from pinas_mm.skeletons import PlainSkeleton
from pinas_mm.space import SearchSpace
from pinas_mm.weights.subnet import subnet_state


@pytest.mark.parametrize("name", ["mixed", "mobilenet", "convnext", "convnext_mixed"])
def test_without_strides_weights_and_costs_are_those_of_the_dilated_backbone(name):
    space, x = SPACES[name], images(32, 32)
    stages = len(space.depths)
    state = shaken(PiNASSupernet(space)).state_dict()
    options = dict(
        strides=(space.strides[0], *[1] * (stages - 1)),
        dilations=(*[1] * (stages - 1), 4),
        out_indices=range(stages),
    )
    supernet = PiNASSupernet(space, **options).eval()
    supernet.load_state_dict(state)
    table = count_costs(supernet, 32)
    for arch in archs(space, 4):
        alone = PiNASBackbone(arch, space, **options).eval()
        alone.load_state_dict(subnet_state(state, arch, space))
        with torch.no_grad():
            outs = alone(x)
            assert all(map(torch.equal, outs, (out.contiguous() for out in supernet(x, arch))))
        assert len({out.shape[2:] for out in outs}) == 1
        assert [table.cost(arch).macs] == counted(alone, (32, 32))


@pytest.mark.parametrize("name", ["mixed", "convnext", "mobilenet_skips"])
def test_group_norm(name):
    space, norm, x = SPACES[name], dict(type="GN", num_groups=2), images(32, 32)
    supernet = shaken(PiNASSupernet(space, norm_cfg=norm))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in supernet.modules())
    for arch in archs(space, 3):
        alone = PiNASBackbone(arch, space, norm_cfg=norm).eval()
        alone.load_state_dict(subnet_state(supernet.state_dict(), arch, space))
        with torch.no_grad():
            assert torch.equal(alone(x)[-1], supernet(x, arch)[0].contiguous())


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("limit", [0, 60_000, float("inf")])
def test_subnets_that_share_their_beginnings_compute_what_each_does_alone(name, limit):
    space, calibration = SPACES[name], [images(32, 32), images(33, 46)]
    supernet = shaken(PiNASSupernet(space, out_indices=range(len(space.depths))))
    drawn, together = archs(space, 6), {}

    def end(indices, maps):
        together.update(dict.fromkeys(indices, maps))

    with borrowed(supernet):
        subnets = Subnets(supernet, drawn, limit)
        for batch in calibration:
            subnets.calibrate(batch)
        subnets.run(images(32, 32), end)
    for index, arch in enumerate(drawn):
        statistics = Statistics(
            supernet, lambda batch, arch=arch: supernet(batch, arch), calibration
        )
        with statistics.applied(), torch.no_grad():
            torch.testing.assert_close(together[index], supernet(images(32, 32), arch))


@pytest.fixture
def export(tmp_path):
    """Writes the first path of a space's supernet as a stand-alone network's file."""

    def write(space):
        checkpoint, file = tmp_path / "supernet.pth", tmp_path / "alone.pth"
        torch.save(PiNASSupernet(space).state_dict(), checkpoint)
        write_subnet(file, subnet_of(checkpoint, [0] * space.num_blocks, space), checkpoint)
        return dict(type="Pretrained", checkpoint=str(file))

    return write


@pytest.mark.parametrize("turned", [False, True])
def test_a_file_of_another_skeleton_is_refused(export, turned):
    small = dict(depths=(1,), widths=(16,), strides=(1,), candidates=[ResNetBottleneck()])
    spaces = [
        SearchSpace(**small, skeleton=PlainSkeleton()),
        SearchSpace(**small, expansion=1, stem_widths=(4, 4, 16)),
    ]
    theirs, ours = reversed(spaces) if turned else spaces
    names = (type(space.skeleton).__name__ for space in (theirs, ours))
    said = "its skeleton is .*{}.*, not .*{}".format(*names)
    with pytest.raises(UserError, match=said):
        PiNASBackbone("0", ours, init_cfg=export(theirs)).init_weights()


@pytest.mark.parametrize("turned", [False, True])
def test_a_file_of_a_space_that_allows_more_or_less_fits(export, turned):
    free = SPACES["mixed"]
    narrow = SearchSpace.build(
        {**free.to_dict(), "allowed": {"layer1": [0, 2, 3], "layer2": [0, 1, 4]}}
    )
    theirs, ours = (narrow, free) if turned else (free, narrow)
    init_cfg = export(theirs)
    built = PiNASBackbone("0000", ours, init_cfg=init_cfg)
    built.init_weights()
    saved = torch.load(init_cfg["checkpoint"], weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[key]) for key, value in built.state_dict().items())
