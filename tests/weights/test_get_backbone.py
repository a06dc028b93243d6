"""A backbone by name for plain PyTorch."""

import pytest
import torch

import pinas_mm
from pinas_mm.errors import UserError
from pinas_mm.export import write_subnet
from pinas_mm.models import PiNASBackbone
from pinas_mm.space.arch import PUBLISHED


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_ones_come_by_name(name):
    with torch.device("meta"):
        backbone = pinas_mm.get_backbone(name, out_indices=(1, 3))
        outs = backbone(torch.zeros(2, 3, 224, 224))
    assert str(backbone.arch) == PUBLISHED[name]
    assert [tuple(out.shape) for out in outs] == [(2, 512, 28, 28), (2, 2048, 7, 7)]
    # METHOD's sizes, less the 1000-way classifier.
    sizes = {"pinas_cls": 27_046_278, "pinas_trans": 27_039_016}
    assert sum(p.numel() for p in backbone.parameters()) == sizes[name] - 2049 * 1000


def test_fresh_weights_are_initialized_without_a_word_for_each(space, capfd):
    torch.manual_seed(0)
    backbone = pinas_mm.get_backbone("13-2", space=space)
    torch.manual_seed(0)
    wanted = PiNASBackbone("13-2", space)
    wanted.init_weights()
    capfd.readouterr()
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, wanted.state_dict()[name]), name
    assert backbone.training
    pinas_mm.get_backbone("13-2", space=space)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_weights_come_from_a_file(space, tmp_path, prefix):
    state = PiNASBackbone("13-2", space).state_dict()
    torch.save({prefix + name: value for name, value in state.items()}, tmp_path / "weights.pth")
    backbone = pinas_mm.get_backbone("13-2", tmp_path / "weights.pth", space=space)
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, state[name]), name
    with pytest.raises(UserError, match="is of architecture 13-2, not 13-1"):
        pinas_mm.get_backbone("13-1", tmp_path / "weights.pth", space=space)


@pytest.mark.parametrize("wrong", [True, 1, ["weights.pth"]])
def test_weights_that_are_no_file_are_refused(wrong):
    with pytest.raises(UserError, match=r"checkpoint is .*: give a \.pth file, a work dir or an"):
        pinas_mm.get_backbone("pinas_trans", wrong)


@pytest.mark.parametrize("name", ["resnet50", "pinas", "Pinas_cls", "pinas_cls "])
def test_unknown_names_are_refused_with_those_that_are_known(name):
    with pytest.raises(UserError, match=r"no known name \(pinas_cls, pinas_trans\)") as caught:
        pinas_mm.get_backbone(name)
    assert "\n" not in str(caught.value)


def written(space, folder):
    """A file of ``tools/export.py`` of an architecture in gray images, and the network."""
    backbone = PiNASBackbone("13-2", space, in_channels=1, norm_cfg=dict(type="GN", num_groups=2))
    source = folder / "supernet.pth"
    torch.save(dict(state_dict={}), source)
    write_subnet(folder / "winner.pth", backbone, source)
    return folder / "winner.pth", backbone


@pytest.mark.parametrize("name", ["13-2", [1, 3, 2], None])
def test_the_file_knows_space_channels_and_norms(space, tmp_path, name):
    file, wanted = written(space, tmp_path)
    backbone = pinas_mm.get_backbone(name, file, out_indices=(0,))
    assert (backbone.arch, backbone.space, backbone.out_indices) == (wanted.arch, space, (0,))
    assert backbone(torch.zeros(2, 1, 32, 32))[0].shape == (2, 32, 8, 8)
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, wanted.state_dict()[key]), key


def test_what_an_option_says_goes_before_the_file(space, tmp_path):
    file, _ = written(space, tmp_path)
    with pytest.raises(UserError, match="channels"):
        pinas_mm.get_backbone("13-2", file, in_channels=3)


def test_a_file_that_is_not_there_is_named_before_the_space_is_asked_for():
    with pytest.raises(UserError, match=r"gone\.pth does not exist"):
        pinas_mm.get_backbone("2-3-3-3", "gone.pth")


def test_neither_name_nor_file():
    with pytest.raises(UserError, match="PiNASBackbone has no arch"):
        pinas_mm.get_backbone()
