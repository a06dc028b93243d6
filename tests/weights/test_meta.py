"""What a checkpoint says of its network is held against every network that it is loaded into."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from supernet_files import shaken

import pinas_mm
from pinas_mm.engine.hooks.safe_checkpoint import SafeCheckpointHook
from pinas_mm.errors import UserError
from pinas_mm.export import Deployable, subnet_of, write_subnet
from pinas_mm.export.subnet import take_facts
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.operations import Module, ResNetBottleneck
from pinas_mm.registry import MODELS
from pinas_mm.space import SearchSpace
from pinas_mm.weights.checkpoint import read_checkpoint
from pinas_mm.weights.meta import check_meta, network_facts

ARCH = "31-2"
# Dilations show in no shape.
DILATED = SearchSpace(
    candidates=[dict(type="pinas_mm.ResNetBottleneck", dilation=n) for n in (1, 2)],
    skeleton="pinas_mm.PlainSkeleton",
    depths=(1, 1),
    widths=(8, 16),
    strides=(1, 2),
)
CONV = dict(type="mmengine.ConvModule", kernel_size=3, padding=1)


def changed(space, **parts):
    return SearchSpace.build({**space.to_dict(), **parts})


def saved(network, file, **meta):
    """A checkpoint of a training of a network in a model."""
    state = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    torch.save(dict(state_dict=state, meta={**network_facts(network), **meta}), file)
    return file


def initialized(network):
    network.init_weights()
    return network


def by_hook(network, file):
    """As mmengine's runner loads it: to test, to resume, to search, by ``load_from``."""
    model = torch.nn.Module()
    model.backbone = network
    runner = SimpleNamespace(model=model, _train_loop={}, _resume=False)
    SafeCheckpointHook().after_load_checkpoint(runner, read_checkpoint(file))


def by_init_model(space, file):
    backbone = dict(type="pinas_mm.PiNASSupernet", space=space.to_dict())
    model = dict(type="mmpretrain.ImageClassifier", backbone=backbone)
    pinas_mm.init_model(Config(dict(model=model)), file)


FROM = "pinas_mm.FromSupernet"
OF_SUPERNET = dict(
    subnet_of=lambda space, file: subnet_of(file, ARCH, space),
    cut=lambda space, file: initialized(
        PiNASBackbone(ARCH, space, init_cfg=dict(type=FROM, checkpoint=str(file)))
    ),
    whole=lambda space, file: initialized(
        PiNASSupernet(space, init_cfg=dict(type=FROM, checkpoint=str(file)))
    ),
    pretrained=lambda space, file: initialized(
        PiNASSupernet(space, init_cfg=dict(type="Pretrained", checkpoint=str(file)))
    ),
    hook=lambda space, file: by_hook(PiNASSupernet(space), file),
    init_model=by_init_model,
)


@pytest.mark.parametrize("load", OF_SUPERNET.values(), ids=OF_SUPERNET)
def test_a_supernet_of_another_space_or_other_norms_is_refused(load, space, tmp_path):
    file = saved(PiNASSupernet(space), tmp_path / "supernet.pth")
    load(space, file)
    for part, said in (
        (dict(stem_pool=True), "its stem_pool is False, not True"),
        (dict(stem_stride=1), "its stem_stride is 2, not 1"),
    ):
        with pytest.raises(UserError, match=f"is of another search space: {said}"):
            load(changed(space, **part), file)
    # Those pool before their convolution.
    fast = [{**one, "type": "pinas_mm.ResNeStFastBottleneck"} for one in candidates(space)]
    with pytest.raises(UserError, match=r"its candidate 0 is .*not .*ResNeStFastBottleneck"):
        load(changed(space, candidates=fast), file)
    # Where all else is left to the file, norms are.
    saved(PiNASSupernet(space), file, norm_cfg=dict(type="BN", eps=1e-3))
    if load is not OF_SUPERNET["subnet_of"]:
        with pytest.raises(UserError, match=r"was trained with norm_cfg=dict\(type='BN', eps=0.0"):
            load(space, file)


def candidates(space):
    return space.to_dict()["candidates"]


@pytest.mark.parametrize("load", OF_SUPERNET.values(), ids=OF_SUPERNET)
def test_a_supernets_weights_serve_other_strides_and_choices(load, space, tmp_path):
    """As configs/ade20k and cityscapes begin with a supernet of ImageNet's strides."""
    allowed = {"layer1": [0, 1, 2, 3]}
    file = saved(PiNASSupernet(space), tmp_path / "supernet.pth")
    load(changed(space, strides=(1, 2)), file)
    load(changed(space, allowed=allowed), file)


@pytest.mark.parametrize("load", OF_SUPERNET.values(), ids=OF_SUPERNET)
@pytest.mark.parametrize("meta", ["none", "converted"])
def test_what_a_file_cannot_know_is_not_asked(load, space, tmp_path, meta):
    guess = changed(space, stem_pool=True).to_dict()
    supernet = PiNASSupernet(space)
    file = saved(supernet, tmp_path / "supernet.pth", kind="supernet", space=guess)
    if meta == "none":
        content = torch.load(file, weights_only=True)
        torch.save(dict(state_dict=content["state_dict"]), file)
    load(space, file)


OF_BACKBONE = dict(
    pretrained=lambda arch, space, file: initialized(
        PiNASBackbone(arch, space, init_cfg=dict(type="Pretrained", checkpoint=str(file)))
    ),
    hook=lambda arch, space, file: by_hook(PiNASBackbone(arch, space), file),
    get_backbone=lambda arch, space, file: pinas_mm.get_backbone(arch, file, space=space),
)


@pytest.mark.parametrize("load", OF_BACKBONE.values(), ids=OF_BACKBONE)
def test_a_backbone_of_another_space_architecture_or_norm_is_refused(load, tmp_path):
    file = saved(PiNASBackbone("0-0", DILATED), tmp_path / "alone.pth")
    load("0-0", DILATED, file)
    with pytest.raises(UserError, match="is of architecture 0-0, not 0-1: at block 1"):
        load("0-1", DILATED, file)
    pooled = changed(DILATED, skeleton=dict(type="pinas_mm.PlainSkeleton", stem_pool=True))
    with pytest.raises(UserError, match="another search space: its skeleton is"):
        load("0-0", pooled, file)
    with pytest.raises(UserError, match=r"its strides is \[1, 2\], not \[2, 2\]"):
        load("0-0", changed(DILATED, strides=(2, 2)), file)
    saved(PiNASBackbone("0-0", DILATED), file, norm_cfg=dict(type="BN", eps=1e-3))
    if load is not OF_BACKBONE["get_backbone"]:
        with pytest.raises(UserError, match=r"was trained with norm_cfg=dict\(type='BN', eps=0.0"):
            load("0-0", DILATED, file)


def test_a_subnets_space_is_its_supernets(space, tmp_path):
    supernet = shaken(PiNASSupernet(space))
    file = saved(supernet, tmp_path / "supernet.pth")
    cut, images = subnet_of(file, ARCH), torch.rand(2, 3, 32, 32)
    assert cut.space == space
    with torch.no_grad():
        assert torch.equal(cut(images)[-1], supernet(images, ARCH)[-1])


@pytest.mark.parametrize("load", [lambda file: subnet_of(file, ARCH), pinas_mm.get_backbone])
@pytest.mark.parametrize("said", ["paper", 3, ["a"], dict(depths="x"), dict(colour=1)])
def test_a_space_that_is_none_is_refused(load, said, space, tmp_path):
    file = saved(PiNASSupernet(space), tmp_path / "supernet.pth", space=said)
    with pytest.raises(UserError, match=r"supernet\.pth says of its search space what gives none"):
        load(file) if load is not pinas_mm.get_backbone else load(ARCH, file)


def test_for_a_subnets_space_nothing_is_imported(space, tmp_path):
    mark = tmp_path / "ran"
    run = dict(type="os.system", command=f"touch {mark}")
    other = {**space.to_dict(), "candidates": [dict(type="pinas_mm.Module", cfg=run)] * 4}
    file = saved(PiNASSupernet(space), tmp_path / "supernet.pth", space=other)
    with pytest.raises(UserError):
        subnet_of(file, ARCH)
    assert not mark.exists()


def test_what_computes_nothing_else_is_no_difference():
    def of(**options):
        cfg = {**CONV, "kernel_size": options.pop("kernel", (3, 3))}
        cfg["bias"] = options.pop("bias", True)
        one = Module(cfg, norm_cfg="norm_cfg", **options)
        return changed(DILATED, candidates=[one, DILATED.candidates[0]])

    network = PiNASBackbone("0-1", of())
    # Pages call it otherwise, and JSON has no tuples.
    for same in (of(name="my block"), of(kernel=[3, 3])):
        check_meta(network, network_facts(PiNASBackbone("0-1", same)), "it")
    with pytest.raises(UserError, match="it is of another search space: its candidate 0 is"):
        check_meta(network, network_facts(PiNASBackbone("0-1", of(bias=False))), "it")


PLACED = dict(strides=(1, 2), dilations=(1, 2))


@pytest.fixture
def placed(space, tmp_path):
    """A file of a network with strides and dilations of its own, and what it computes."""
    source = saved(shaken(PiNASSupernet(space)), tmp_path / "supernet.pth")
    cut = subnet_of(source, ARCH, space, **PLACED)
    write_subnet(tmp_path / "winner.pth", cut, source)
    return tmp_path / "winner.pth", cut


def pretrained(file, **options):
    init_cfg = dict(type="Pretrained", checkpoint=str(file))
    return initialized(PiNASBackbone(init_cfg=init_cfg, **options))


BUILT = dict(
    get_backbone=lambda file, **options: pinas_mm.get_backbone(pretrained=file, **options),
    init_cfg=pretrained,
)


@pytest.mark.parametrize("build", BUILT.values(), ids=BUILT)
def test_strides_and_dilations_are_the_files_unless_given(build, placed, printed):
    file, cut = placed
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        wanted = cut(images)
        for given in ({}, dict(strides=None), dict(dilations=[1, 2])):
            for one, other in zip(build(file, **given).eval()(images), wanted, strict=True):
                assert torch.equal(one, other)
    assert "which are taken" not in printed()
    other = build(file, strides=(2, 2), dilations=(1, 1))
    assert (other.strides, other.dilations) == ((2, 2), (1, 1))
    said = printed()
    assert "is of a network with strides [1, 2]; this one has [2, 2], which are taken" in said
    assert "is of a network with dilations [1, 2]; this one has [1, 1], which are taken" in said


def test_a_training_that_took_them_from_a_file_goes_on_with_them_without_it(placed, tmp_path):
    file, cut = placed
    init = dict(type="Pretrained", checkpoint=str(file))
    backbone = dict(type="pinas_mm.PiNASBackbone", init_cfg=init)
    checkpoint = saved(MODELS.build(dict(backbone)), tmp_path / "epoch_1.pth")
    file.unlink()
    cfg = Config(dict(model=dict(backbone=backbone)))
    take_facts(cfg, read_checkpoint(checkpoint)["meta"])
    again = MODELS.build(cfg.model.backbone)
    assert again.specs == cut.specs
    with pytest.raises(UserError, match=r"gone\.pth does not exist"):
        MODELS.build(dict(backbone, init_cfg=dict(init, checkpoint="gone.pth")))


def test_facts_of_any_operation_are_taken(tmp_path):
    file = saved(PiNASBackbone("0-1", DILATED), tmp_path / "alone.pth")
    cfg = Config(dict(model=dict(backbone=dict(type="pinas_mm.PiNASBackbone"))))
    take_facts(cfg, read_checkpoint(file)["meta"])
    assert MODELS.build(cfg.model.backbone).space == DILATED
    state = {
        name.removeprefix("backbone."): v for name, v in torch.load(file)["state_dict"].items()
    }
    torch.save(dict(state_dict=state, meta=read_checkpoint(file)["meta"]), file)
    assert Deployable.read(file).metadata["arch"] == "0-1"


def test_what_says_the_same_is_not_built_for_it():
    @dataclasses.dataclass(frozen=True)
    class Local(ResNetBottleneck):
        """Of no name that leads to it."""

    space = SearchSpace([Local(kernel=np.int64(3)), Local(kernel=5)], (2,), (8,), (2,))
    assert type(space.to_dict()["candidates"][0]["kernel"]) is int
    network = PiNASSupernet(space)
    check_meta(network, network_facts(network), "the file")
    other = network_facts(network) | dict(space=space.to_dict() | dict(widths=[16]))
    with pytest.raises(UserError, match="search space"):
        check_meta(network, other, "the file")
