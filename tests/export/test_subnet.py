"""Stand-alone weights cut from a supernet: the same network, in a file that loads anywhere."""

import hashlib

import numpy as np
import pytest
import torch
from mmengine.config import Config
from supernet_files import shaken

from pinas_mm.errors import UserError
from pinas_mm.export import read_network, read_space, subnet_of, write_subnet
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.space import SearchSpace
from pinas_mm.weights.subnet import is_supernet, subnet_state


def archs(space, number=5):
    return space.sample(number, np.random.default_rng(0))


def test_selection_renames_the_path_and_keeps_the_stem(space):
    state = {
        "conv1.0.weight": 0,
        "bn1.bias": 1,
        "layer1.0.0.conv1.weight": 2,
        "layer1.0.3.conv1.weight": 3,
        "layer1.1.1.conv2.fc1.bias": 4,
        "layer2.0.2.bn3.bias": 5,
        "layer2.0.1.bn3.bias": 6,
    }
    assert is_supernet(state)
    selected = subnet_state(state, space.arch("31-2"), space)
    assert selected == {
        "conv1.0.weight": 0,
        "bn1.bias": 1,
        "layer1.0.conv1.weight": 3,
        "layer1.1.conv2.fc1.bias": 4,
        "layer2.0.bn3.bias": 5,
    }
    assert not is_supernet(selected)


@pytest.mark.parametrize("kind", ["training", "classifier", "bare"])
def test_exported_subnet_computes_what_its_path_does(supernet, checkpoint, space, tmp_path, kind):
    if kind != "training":
        inner = supernet.state_dict()
        state = {f"backbone.{name}": value for name, value in inner.items()}
        state["head.fc.weight"] = torch.zeros(3)
        torch.save(inner if kind == "bare" else state, checkpoint)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for arch in archs(space):
        path = tmp_path / f"{arch}.pth"
        write_subnet(path, subnet_of(checkpoint, str(arch), space), checkpoint)
        content = torch.load(path, weights_only=True)
        built = PiNASBackbone(arch=content["meta"]["arch"], space=content["meta"]["space"])
        built.load_state_dict(content["state_dict"], strict=True)
        with torch.no_grad():
            ours, theirs = built.eval()(images)[-1], supernet(images, arch)[-1]
        assert ours.abs().sum() > 0
        assert torch.equal(ours, theirs)


def test_file_initializes_a_backbone(checkpoint, space, tmp_path):
    path = tmp_path / "subnet.pth"
    cut = subnet_of(checkpoint, "31-2", space)
    write_subnet(path, cut, checkpoint)
    init = dict(type="Pretrained", checkpoint=str(path))
    built = PiNASBackbone("31-2", space, init_cfg=init)
    built.init_weights()
    assert all(torch.equal(built.state_dict()[n], v) for n, v in cut.state_dict().items())


def test_file_says_where_it_comes_from(checkpoint, space, tmp_path):
    path = tmp_path / "new" / "subnet.pth"
    write_subnet(path, subnet_of(checkpoint.parent, [3, 1, 2], space), checkpoint.parent, 7)
    content = torch.load(path, weights_only=True)
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert content["meta"] == dict(
        arch="31-2",
        space=space.to_dict(),
        in_channels=3,
        norm_cfg=dict(type="BN"),
        source=dict(file="epoch_1.pth", sha256=digest),
        calibration_batches=7,
    )
    assert [p.name for p in path.parent.iterdir()] == ["subnet.pth"]


def test_what_cannot_be_written_is_refused(checkpoint, space, tmp_path):
    before = checkpoint.read_bytes()
    backbone = subnet_of(checkpoint, "31-2", space)
    with pytest.raises(UserError, match="is the supernet's checkpoint itself"):
        write_subnet(checkpoint, backbone, checkpoint)
    assert checkpoint.read_bytes() == before
    with pytest.raises(UserError, match="is a folder"):
        write_subnet(tmp_path, backbone, checkpoint)
    with pytest.raises(UserError, match=r"cannot write .*epoch_1\.pth/subnet\.pth"):
        write_subnet(checkpoint / "subnet.pth", backbone, checkpoint)


@pytest.mark.parametrize("name", ["layer1.0.conv1.weight", "bn1.running_var"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_written(checkpoint, space, tmp_path, name, value):
    backbone = subnet_of(checkpoint, "31-2", space)
    # A mask may be of infinities.
    backbone.layer1[0].register_buffer("mask", torch.full((2,), -torch.inf))
    write_subnet(tmp_path / "good.pth", backbone, checkpoint)
    backbone.state_dict()[name].flatten()[0] = value
    with pytest.raises(UserError, match=f"{name} of the PiNASBackbone is not finite: only numbers"):
        write_subnet(tmp_path / "bad.pth", backbone, checkpoint)
    assert not (tmp_path / "bad.pth").exists()


def test_checkpoint_of_another_space_or_kind_is_refused(checkpoint, space, tmp_path):
    with pytest.raises(UserError, match="does not fit PiNASSupernet"):
        subnet_of(checkpoint, "0" * 16)
    fewer = SearchSpace.build({**space.to_dict(), "candidates": space.candidates[:3]})
    with pytest.raises(UserError, match=r"left over \(layer1\.0\.3\."):
        subnet_of(checkpoint, "01-2", fewer)
    wider = SearchSpace.build({**space.to_dict(), "expansion": 4})
    with pytest.raises(UserError, match="of another shape"):
        subnet_of(checkpoint, "01-2", wider)
    alone = tmp_path / "alone.pth"
    torch.save(PiNASBackbone("01-2", space).state_dict(), alone)
    with pytest.raises(UserError, match=r"alone\.pth holds no supernet.*Pretrained"):
        subnet_of(alone, "01-2", space)
    with pytest.raises(UserError, match="candidates 0 to 3"):
        subnet_of(checkpoint, "41-2", space)


def test_gray_images_and_group_norm(space, tmp_path):
    norm = dict(type="GN", num_groups=2)
    supernet = shaken(PiNASSupernet(space, in_channels=1, norm_cfg=norm))
    path = tmp_path / "supernet.pth"
    torch.save(supernet.state_dict(), path)
    backbone = subnet_of(path, "31-2", space, norm)
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(backbone(images)[-1], supernet(images, "31-2")[-1])


def test_space_of_a_config(config, space):
    cfg = config("small_supernet.py")
    assert read_space(cfg) == (space, None)
    cfg.pop("model")
    assert read_space(cfg) == (space, None)
    norms = dict(space=space.to_dict(), norm_cfg=dict(type="SyncBN", eps=1e-3))
    cfg = Config(dict(model=dict(backbone=norms)))
    assert read_space(cfg) == (space, dict(type="BN", eps=1e-3))
    with pytest.raises(UserError, match=r"neither model\.backbone\.space nor space"):
        read_space(Config(dict(model=dict(type="x"))))


def test_space_of_a_network_that_does_not_say_its_own(checkpoint, space, tmp_path):
    def of(**network):
        return read_space(Config(dict(model=dict(model=dict(backbone=network)))))[0]

    file = tmp_path / "winner.pth"
    write_subnet(file, subnet_of(checkpoint, "31-2", space), checkpoint)
    init = dict(type="Pretrained", checkpoint=str(file))
    backbone = dict(type="pinas_mm.PiNASBackbone")
    published = dict(backbone, arch="pinas_cls")
    # A supernet does not ask the file.
    assert of(type="pinas_mm.PiNASSupernet", init_cfg=init) == SearchSpace()
    assert of(type=PiNASSupernet) == SearchSpace()
    assert of(**backbone, init_cfg=init) == space
    assert of(**published) == SearchSpace()
    gone = dict(type="Pretrained", checkpoint=str(tmp_path / "gone.pth"))
    assert of(**published, init_cfg=gone) == SearchSpace()
    with pytest.raises(UserError, match=r"gone\.pth does not exist"):
        of(**backbone, init_cfg=gone)
    with pytest.raises(UserError, match=r"neither model\.backbone\.space nor space"):
        of(type="ResNet", depth=50)


def test_network_of_a_config(space):
    # Where its strides take a pool away, a supernet has none, and a backbone keeps it.
    settings = dict(space=space.to_dict(), strides=[1, 2], dilations=[2, 1])
    poolless = SearchSpace.build({**space.to_dict(), "strides": [1, 2]})
    for kind, strides, wanted in (
        ("PiNASSupernet", None, poolless),
        ("PiNASBackbone", [1, 2], space),
    ):
        cfg = Config(dict(model=dict(backbone=dict(settings, type=f"pinas_mm.{kind}"))))
        common = dict(norm_cfg=None, strides=strides, dilations=[2, 1])
        assert read_network(cfg) == dict(common, space=wanted)


@pytest.mark.parametrize("options", [{}, dict(strides=(1, 2), dilations=(2, 1))])
def test_from_supernet_cuts_a_backbones_part(supernet, checkpoint, space, options):
    init = dict(type="pinas_mm.FromSupernet", checkpoint=str(checkpoint))
    backbone = PiNASBackbone("31-2", space, init_cfg=init, **options)
    backbone.init_weights()
    wanted = subnet_state(supernet.state_dict(), space.arch("31-2"), space)
    state = backbone.state_dict()
    assert state.keys() == wanted.keys()
    assert all(torch.equal(state[name], wanted[name]) for name in wanted)


def test_from_supernet_refuses_another_space_for_a_backbone(checkpoint, space):
    init = dict(type="pinas_mm.FromSupernet", checkpoint=str(checkpoint))
    more = {**space.to_dict(), "candidates": [*space.candidates, (1, 1, 32)]}
    with pytest.raises(UserError, match=r"keys missing \(layer1\.0\.4\.conv1"):
        PiNASBackbone("31-2", more, init_cfg=init).init_weights()
