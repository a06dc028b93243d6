"""What a weights file says of its space and norms imports and calls nothing."""

import dataclasses
import json
import pickle
import sys
from contextlib import nullcontext
from typing import ClassVar

import pytest
import torch
from mmengine.config import Config

from pinas_mm import get_backbone
from pinas_mm.engine.preflight import check_run
from pinas_mm.engine.resume import prepare
from pinas_mm.errors import UserError
from pinas_mm.export import Deployable, read_best, subnet_of
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.operations import Module, Operation
from pinas_mm.operations.plain_layers import check_layers, of_file
from pinas_mm.registry import MODELS, OPERATIONS, check_known
from pinas_mm.space import SearchSpace
from pinas_mm.weights.checkpoint import read_checkpoint

OWN = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n\n\nclass Norm:\n    pass\n"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module that leaves a mark when it is imported."""
    (tmp_path / "own_of_a_stranger.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "ran"
    sys.modules.pop("own_of_a_stranger", None)


def written(folder, own, **meta):
    file = folder / "weights.pth"
    state = PiNASBackbone("13-2", own).state_dict()
    meta = dict(arch="13-2", space=own.to_dict(), in_channels=3) | meta
    torch.save(dict(state_dict=state, meta=meta), file)
    return str(file)


@pytest.mark.parametrize(
    "kind", ["own_of_a_stranger.Norm", "own_of_a_stranger.BN", "own_of_a_stranger"]
)
@pytest.mark.parametrize("given", [True, False])
def test_norms(space, tmp_path, own, kind, given):
    file = written(tmp_path, space, norm_cfg=dict(type=kind))
    known = dict(arch="13-2", space=space) if given else {}

    def built():
        init_cfg = dict(type="Pretrained", checkpoint=file)
        PiNASBackbone(**known, init_cfg=init_cfg).init_weights()

    # Where nothing is built by it, it is compared by its bare name.
    same = given and kind.endswith(".BN")
    with nullcontext() if same else pytest.raises(UserError):
        built()
    with pytest.raises(UserError):
        get_backbone(pretrained=file)
    assert not own.exists()


@pytest.mark.parametrize(
    "cfg",
    [
        dict(type="own_of_a_stranger.Norm"),
        dict(type="own_of_a_stranger"),
        # A registered name under another's.
        dict(type="own_of_a_stranger.ConvModule"),
        dict(type="pathlib.Path.touch", self="{mark}"),
        dict(type="os.system", command="touch {mark}"),
        dict(type="mmengine.ConvModule", act_cfg=dict(type="os.system", command="touch {mark}")),
        dict(type="mmengine.ConvModule", conv_cfg=[dict(type="own_of_a_stranger.Norm")]),
    ],
)
def test_candidates(space, tmp_path, own, cfg):
    cfg = {k: v.format(mark=own) if isinstance(v, str) else v for k, v in cfg.items()}
    candidates = [dict(type="pinas_mm.Module", cfg=cfg)] * space.num_candidates
    other = space.to_dict() | dict(candidates=candidates)
    with pytest.raises(UserError, match="is unknown, and nothing is imported for it"):
        get_backbone(pretrained=written(tmp_path, space, space=other))
    assert not own.exists()


@pytest.mark.parametrize("fact", ["norm_cfg", "space"])
def test_runs_that_leave_the_network_to_a_file(space, tmp_path, own, fact):
    stranger = dict(type="own_of_a_stranger.Norm")
    said = dict(norm_cfg=stranger, space={**space.to_dict(), "candidates": [stranger]})
    meta = dict(arch="13-2", space=space.to_dict()) | {fact: said[fact]}
    backbone = dict(type="pinas_mm.PiNASBackbone")
    cfg = Config(dict(model=dict(backbone=backbone), resume=False))

    def begun():
        prepare(cfg, dict(meta=meta), trains=False)
        check_run(cfg, trains=False)

    with pytest.raises(UserError, match=r"the checkpoint: type own_of_a_stranger\.Norm is unknown"):
        begun()
    assert not own.exists()


def test_what_is_registered_or_imported_is_known():
    check_known(
        [
            dict(type="mmengine.ConvModule", act_cfg=dict(type="ReLU"), norm_cfg=dict(type="GN")),
            dict(type="mmpretrain.ImageClassifier"),
            dict(type="torch.nn.modules.activation.SiLU"),
            dict(type=torch.nn.Identity),
            dict(number=1),
        ],
        "it",
    )
    with pytest.raises(UserError, match=r"it: type os\.system is unknown"):
        check_known([dict(type="os.system")], "it")


def test_spaces_of_the_examples_are_built():
    cfg = dict(type="mmengine.ConvModule", kernel_size=3, padding=1)
    space = SearchSpace(
        candidates=[dict(type="pinas_mm.Module", norm_cfg="norm_cfg", cfg=cfg)],
        skeleton=dict(type="pinas_mm.PlainSkeleton", stem_width=8),
        depths=(1,),
        widths=(8,),
        strides=(1,),
    )
    assert PiNASBackbone("0", space)(torch.zeros(2, 3, 8, 8))


@MODELS.register_module()
class Reaching(torch.nn.Module):
    """What a library has as well: registered, and reaching out by its arguments."""

    reached: ClassVar[list[str]] = []

    def __init__(self, repository, num_features=None, in_channels=None, eps=None):
        super().__init__()
        self.reached.append(repository)


REACHING = dict(type="Reaching", repository="stranger/repository")
PLAIN = dict(skeleton="pinas_mm.PlainSkeleton", depths=[1], widths=[16], strides=[1])


def plain_space(cfg, **more):
    candidate = dict(type="pinas_mm.Module", out_channels=None, stride=None, cfg=cfg)
    return dict(PLAIN, candidates=[candidate | more])


def file_with(folder, space, **meta):
    file = folder / "winner.pth"
    state = {"stem.0.weight": torch.zeros(16, 3, 3, 3)}
    torch.save(dict(state_dict=state, meta=dict(arch="0", space=space, in_channels=3) | meta), file)
    return str(file)


@pytest.mark.parametrize(
    "cfg",
    [
        REACHING,
        dict(REACHING, type="pinas_mm.Reaching"),
        dict(type="mmengine.ConvModule", kernel_size=1, act_cfg=REACHING),
        dict(type="mmengine.ConvModule", kernel_size=1, plugins=[[REACHING]]),
        dict(type="mmpretrain.TIMMBackbone", model_name="resnet18", checkpoint_path="other.bin"),
        dict(type="mmengine.ConvModule", kernel_size=1, init_cfg=dict(type="Pretrained")),
        # mmcv builds a padding by it.
        dict(type="mmengine.ConvModule", kernel_size=3, padding=1, padding_mode="Reaching"),
        dict(type="mmengine.ConvModule", kernel_size=3, padding=1, padding_mode="os.system"),
        # mmengine imports a library by it.
        dict(type="mmengine.ConvModule", kernel_size=1, _scope_="own_of_a_stranger"),
    ],
)
def test_of_what_is_registered_plain_layers_alone_are_built(tmp_path, own, cfg):
    space = plain_space(cfg)
    file = file_with(tmp_path, space)
    (tmp_path / "best.json").write_text(
        json.dumps(dict(best=[dict(rank=1, arch="0")], space=space, checkpoint=file))
    )
    found = read_best(tmp_path)
    placed = dataclasses.replace(found, source=dict(strides=[1], dilations=None))
    # As the tool takes it up for a training, by a config's text.
    network = dict(type="pinas_mm.PiNASBackbone")
    cfg = Config(dict(model=dict(backbone=network), resume=False))

    def resumed():
        prepare(cfg, read_checkpoint(file), trains=False)
        MODELS.build(cfg.model.backbone)

    supernet = tmp_path / "supernet.pth"
    torch.save(dict(state_dict={}, meta=dict(space=space)), supernet)
    ways = (
        lambda: get_backbone(pretrained=file),
        lambda: PiNASBackbone(init_cfg=dict(type="Pretrained", checkpoint=file)),
        lambda: PiNASSupernet(init_cfg=dict(type="Pretrained", checkpoint=file)).init_weights(),
        lambda: Deployable.read(file),
        lambda: subnet_of(supernet, "0"),
        lambda: PiNASBackbone("0", **found.network),
        lambda: PiNASBackbone("0", **placed.network),
        lambda: PiNASBackbone("0", pickle.loads(pickle.dumps(found.space))),
        resumed,
    )
    for way in ways:
        with pytest.raises(UserError, match=r"is a file's word|of another search space"):
            way()
    assert not Reaching.reached
    assert not own.exists()


def test_norms_of_a_file_are_norms(tmp_path):
    cfg = dict(type="mmengine.ConvModule", kernel_size=1)
    for norm_cfg in (REACHING, dict(type="mmpretrain.TIMMBackbone", model_name="resnet18")):
        file = file_with(tmp_path, plain_space(cfg), norm_cfg=norm_cfg)
        with pytest.raises(UserError, match="allowed types are BN, SyncBN and GN"):
            get_backbone(pretrained=file)
    assert not Reaching.reached


def test_what_the_call_says_too_is_compared_and_built(tmp_path):
    @MODELS.register_module(force=True)
    class Own(torch.nn.Conv2d):
        def __init__(self, in_channels, mode):
            super().__init__(in_channels, in_channels, 1)

    said = SearchSpace.build(plain_space(dict(type="pinas_mm.Own", mode="of a user's")))
    file = tmp_path / "winner.pth"
    backbone = PiNASBackbone("0", said)
    meta = dict(arch="0", space=said.to_dict(), in_channels=3)
    torch.save(dict(state_dict=backbone.state_dict(), meta=meta), file)
    with pytest.raises(UserError, match=r"Own' is a file's word.*say the search space yourself"):
        get_backbone(pretrained=file)
    assert get_backbone(pretrained=file, space=said).space == said
    other = SearchSpace.build(plain_space(dict(type="pinas_mm.Own", mode="another")))
    with pytest.raises(UserError, match="of another search space"):
        get_backbone(pretrained=file, space=other)


def test_files_of_plain_layers_and_of_own_operations_are_read_as_before(tmp_path):
    @OPERATIONS.register_module(force=True)
    @dataclasses.dataclass(frozen=True)
    class OfAUser(Operation):
        sides: tuple[int, int] = (1, 1)

        def build(self, spec, shortcut, norm_cfg):
            return torch.nn.Conv2d(spec.in_channels, spec.out_channels, self.sides)

    cfg = dict(type="mmengine.ConvModule", kernel_size=3, padding=1, act_cfg=dict(type="GELU"))
    cfg |= dict(order=("conv", "norm", "act"), padding_mode="reflect")
    space = plain_space(cfg, norm_cfg="norm_cfg", name="k3", out_channels="out_channels")
    space["candidates"] += ["OfAUser", dict(type="OfAUser", sides=[1, 1])]
    space = SearchSpace.build(space)
    for arch in "012":
        written = PiNASBackbone(arch, space)
        written.init_weights()
        meta = dict(arch=arch, space=space.to_dict(), norm_cfg=dict(type="BN"))
        file = tmp_path / f"{arch}.pth"
        torch.save(dict(state_dict=written.state_dict(), meta=meta), file)
        read = get_backbone(pretrained=file).eval()
        assert read.space == space
        assert hash(read.space) == hash(space)
        assert read.space.to_dict() == space.to_dict()
        images = torch.rand(1, 3, 8, 8)
        assert torch.equal(read(images)[0], written.eval()(images)[0])


def test_a_callable_is_no_layer():
    for kind in (print, torch.nn.Conv2d, 3):
        with pytest.raises(UserError, match="is a file's word"):
            check_layers(dict(layers=[dict(type=kind)]), "it")


def test_layers_are_known_by_any_of_their_names():
    torch_s = dict(type="torch.nn.modules.activation.SiLU")
    check_layers([torch_s, dict(type="GN", num_groups=2), dict(type="mmcv.Swish")], "it")
    separable = "mmcv.cnn.DepthwiseSeparableConvModule"
    check_layers(dict(type=separable, padding_mode="zeros"), "it")
    for kind in ("nowhere.Layer", "Nothing", "", ".", "torch.nn.modules.module", "PiNASBackbone"):
        with pytest.raises(UserError, match=r"it: type .* is a file's word"):
            check_layers(dict(type=kind), "it")


def test_what_is_no_space_is_marked_as_it_is():
    for said in ("x", 3, None, {}, dict(candidates=3), dict(candidates=[(1, 1, 64)])):
        assert of_file(said) == said
    module = SearchSpace.build(of_file(plain_space(dict(type="ReLU")))).candidates[0]
    assert module.of_file
    assert module == Module(dict(type="ReLU"), out_channels=None, stride=None)
    assert not Module(dict(type="ReLU")).of_file
