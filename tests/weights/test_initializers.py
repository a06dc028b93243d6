"""init_cfg loads a backbone's weights whole and from the right network, or says what is wrong."""

import dataclasses

import pytest
import torch
from mmengine.model.weight_init import PretrainedInit
from mmpretrain.models import ImageClassifier
from torch import nn

from pinas_mm import get_backbone
from pinas_mm.errors import UserError
from pinas_mm.export import subnet_of, write_subnet
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.registry import SKELETONS
from pinas_mm.skeletons import PlainSkeleton
from pinas_mm.weights.initializers import load_backbone

ARCH = "13-2"


def randomized(module):
    torch.manual_seed(1)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.copy_(torch.randint_like(tensor, 100))
    return module


@pytest.fixture(scope="module")
def files(space, tmp_path_factory):
    """The supernet's checkpoint, its subnet's export, and a classifier's checkpoint of that."""
    folder = tmp_path_factory.mktemp("files")
    torch.save(dict(state_dict=randomized(PiNASSupernet(space)).state_dict()), folder / "super.pth")
    backbone = subnet_of(folder / "super.pth", ARCH, space)
    write_subnet(folder / "export.pth", backbone, folder / "super.pth")
    state = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    state |= {"head.fc.weight": torch.zeros(10, 32), "head.fc.bias": torch.zeros(10)}
    torch.save(dict(state_dict=state, meta=dict(epoch=3, iter=9)), folder / "classifier.pth")
    torch.save(backbone.state_dict(), folder / "bare.pth")
    return folder


@pytest.fixture
def load(files, space):
    """Builds a backbone and initializes it from one of the files; returns its state dict."""

    def load(
        file,
        arch=ARCH,
        kind="Pretrained",
        space=space,
        model=PiNASBackbone,
        in_channels=3,
        **options,
    ):
        init_cfg = dict(type=kind, checkpoint=str(files / file), **options)
        arguments = dict(arch=arch) if model is PiNASBackbone else {}
        module = model(space=space, in_channels=in_channels, init_cfg=init_cfg, **arguments)
        module.init_weights()
        return module.state_dict()

    return load


def equal(state, wanted):
    assert state.keys() == wanted.keys()
    return all(torch.equal(value, wanted[name]) for name, value in state.items())


@pytest.fixture
def wanted(files):
    return torch.load(files / "bare.pth")


@pytest.mark.parametrize(
    ("file", "options"),
    [
        ("export.pth", {}),
        ("bare.pth", {}),
        ("classifier.pth", dict(prefix="backbone.")),
        ("classifier.pth", dict(prefix="backbone", map_location="cpu")),
        ("classifier.pth", {}),
        ("super.pth", dict(kind="pinas_mm.FromSupernet")),
        ("export.pth", dict(kind=PretrainedInit)),
        ("export.pth", dict(kind="mmengine.Pretrained")),
    ],
)
def test_all_weights_are_loaded(load, wanted, file, options):
    assert equal(load(file, **options), wanted)


def test_loading_has_the_last_word(files, space, wanted):
    init_cfg = [
        dict(type="Pretrained", checkpoint=str(files / "export.pth")),
        dict(type="Constant", layer="Conv2d", val=0),
    ]
    backbone = PiNASBackbone(ARCH, space, init_cfg=init_cfg)
    backbone.init_weights()
    assert equal(backbone.state_dict(), wanted)


def test_a_supernet_loads_by_either(load, files):
    whole = torch.load(files / "super.pth")["state_dict"]
    for kind in ("Pretrained", "pinas_mm.FromSupernet"):
        assert equal(load("super.pth", kind=kind, model=PiNASSupernet), whole)


def test_a_classifiers_own_initialization_loads_its_backbone(files, space, wanted):
    init_cfg = dict(type="Pretrained", checkpoint=str(files / "export.pth"))
    backbone = dict(type="pinas_mm.PiNASBackbone", arch=ARCH, space=space, init_cfg=init_cfg)
    classifier = ImageClassifier(
        backbone=backbone,
        neck=dict(type="GlobalAveragePooling"),
        head=dict(type="LinearClsHead", num_classes=10, in_channels=32),
    )
    classifier.init_weights()
    assert equal(classifier.backbone.state_dict(), wanted)


def test_other_strides_load_too(files, space, wanted):
    init_cfg = dict(type="Pretrained", checkpoint=str(files / "export.pth"))
    backbone = PiNASBackbone(ARCH, space, strides=(1, 2), dilations=(1, 2), init_cfg=init_cfg)
    backbone.init_weights()
    assert equal(backbone.state_dict(), wanted)


@pytest.mark.parametrize(
    ("arch", "first"),
    [
        ("13-0", "at block 2 (layer2.0), the first that differs, it has candidate 2, not 0"),
        ("12-2", "at block 1 (layer1.1), the first that differs, it has candidate 3, not 2"),
        ("20-1", "at block 0 (layer1.0), the first that differs, it has candidate 1, not 2"),
    ],
)
@pytest.mark.parametrize("file", ["export.pth", "classifier.pth"])
def test_another_architecture_is_refused_by_its_first_block(load, file, arch, first):
    with pytest.raises(UserError) as caught:
        load(file, arch)
    assert first in str(caught.value)
    assert f"is of architecture 13-2, not {arch}" in str(caught.value)
    assert "set arch='13-2'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arch", "change", "said"),
    [
        (ARCH, dict(stem_pool=True), "its stem_pool is False, not True"),
        (ARCH, dict(strides=(1, 2)), r"its strides is \[2, 2\], not \[1, 2\]"),
        ("13-22", dict(depths=(2, 2)), r"its depths is \[2, 1\], not \[2, 2\]"),
        (ARCH, dict(widths=(16, 32)), "its widths is"),
    ],
)
def test_another_space_is_refused(load, space, arch, change, said):
    with pytest.raises(UserError, match=f"is of another search space: {said}"):
        load("export.pth", arch, space={**space.to_dict(), **change})


@pytest.mark.parametrize(
    ("arch", "change", "said"),
    [
        ("13-22", dict(depths=(2, 2)), r"27 keys missing \(layer2\.1\."),
        ("1-2", dict(depths=(1, 1)), r"27 left over \(layer1\.1\."),
        ("13-2", dict(widths=(16, 32)), r"of another shape \(layer2\.0\."),
        ("10-1", dict(candidates=[(1, 1, 32), (2, 1, 32)]), r"of another shape \(layer1\.0\."),
    ],
)
def test_another_space_shows_without_a_word_of_the_file_too(load, space, arch, change, said):
    with pytest.raises(UserError, match=said):
        load("bare.pth", arch, space={**space.to_dict(), **change})


def test_the_wrong_way_names_the_right_one(load):
    with pytest.raises(UserError, match=r"holds a supernet.*type='pinas_mm\.FromSupernet'"):
        load("super.pth")
    with pytest.raises(UserError, match=r"holds no supernet.*type='Pretrained'"):
        load("export.pth", kind="pinas_mm.FromSupernet")


def test_an_unknown_prefix_tells_what_there_is(load):
    with pytest.raises(UserError, match=r"no keys under neck\.: they begin with backbone, head"):
        load("classifier.pth", prefix="neck.")


@pytest.mark.parametrize("name", ["layer2.0.bn3.running_var", "conv1.0.weight", "bn1.bias"])
def test_what_is_not_whole_is_refused(space, wanted, name):
    backbone = PiNASBackbone(ARCH, space)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    del wanted[name]
    with pytest.raises(UserError, match=rf"it does not fit.*1 keys missing \({name}\)"):
        load_backbone(backbone, wanted, "it")
    assert equal(backbone.state_dict(), before)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("export.pth", r"was trained with norm_cfg=dict\(type='BN', eps=1e-05\)"),
        # It says nothing of itself.
        ("bare.pth", r"left over \(conv1\.1\.running_mean"),
    ],
)
def test_another_norm_is_refused(files, space, file, said):
    init_cfg = dict(type="Pretrained", checkpoint=str(files / file))
    backbone = PiNASBackbone(ARCH, space, norm_cfg=dict(type="GN", num_groups=4), init_cfg=init_cfg)
    with pytest.raises(UserError, match=said):
        backbone.init_weights()


def test_alike_candidates_are_not_taken_for_a_difference(space):
    twins = {**space.to_dict(), "candidates": [(2, 1, 64)] * 3}
    backbone = PiNASBackbone("12-0", twins)
    load_backbone(backbone, PiNASBackbone("01-2", twins).state_dict(), "it")


@pytest.mark.parametrize(
    ("way", "channels"), [("mean", 1), ("mean", 4), ("repeat", 4), ("repeat", 6)]
)
@pytest.mark.parametrize(
    ("file", "kind", "model"),
    [
        ("export.pth", "Pretrained", PiNASBackbone),
        ("super.pth", "pinas_mm.FromSupernet", PiNASBackbone),
        ("super.pth", "pinas_mm.FromSupernet", PiNASSupernet),
    ],
)
def test_weights_are_adapted_to_the_channels(load, files, file, kind, model, way, channels):
    name = "conv1.0.weight"
    before = torch.load(files / file)["state_dict"][name]
    state = load(file, kind=kind, model=model, channels=way, in_channels=channels)
    assert state[name].shape == (*before.shape[:1], channels, *before.shape[2:])
    if way == "mean" or channels == 6:
        # An image whose channels are alike gives the same.
        torch.testing.assert_close(state[name].sum(1), before.sum(1))
    if way == "repeat":
        torch.testing.assert_close(state[name][:, :3], before[:, :channels] * 3 / channels)
    unadapted = load(file, kind=kind, model=model)
    assert equal({**state, name: before}, unadapted)


@pytest.mark.parametrize(
    ("file", "kind", "model"),
    [
        ("export.pth", "Pretrained", PiNASBackbone),
        ("bare.pth", "Pretrained", PiNASBackbone),
        ("super.pth", "pinas_mm.FromSupernet", PiNASBackbone),
        ("super.pth", "Pretrained", PiNASSupernet),
    ],
)
def test_another_number_of_channels_is_refused_for_that(load, file, kind, model):
    said = r"is for images of 3 channels, the network has in_channels=4: .* channels='mean'"
    with pytest.raises(UserError, match=said):
        load(file, kind=kind, model=model, in_channels=4)
    with pytest.raises(UserError, match="channels is 'sum': allowed are None, mean, repeat"):
        load(file, kind=kind, model=model, channels="sum")


def test_a_backbone_takes_a_files_channels_unless_they_are_adapted(files, space):
    backbone = subnet_of(files / "super.pth", ARCH, space)
    state = {**backbone.state_dict(), "conv1.0.weight": torch.zeros(8, 1, 3, 3)}
    file = files / "gray.pth"
    meta = dict(arch=ARCH, space=space.to_dict(), in_channels=1)
    torch.save(dict(state_dict=state, meta=meta), file)
    init_cfg = dict(type="Pretrained", checkpoint=str(file))
    assert PiNASBackbone(init_cfg=init_cfg).in_channels == 1
    assert PiNASBackbone(init_cfg=dict(init_cfg, channels="mean")).in_channels == 3


@pytest.fixture
def norms(space, tmp_path):
    """A supernet whose batch norms have an eps of their own, and its file, which says so."""
    norm_cfg = dict(type="SyncBN", eps=1e-3, momentum=0.01)
    supernet = PiNASSupernet(space, norm_cfg=dict(norm_cfg, type="BN")).eval()
    torch.manual_seed(0)
    for module in supernet.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(1e-3, 1e-2)
    meta = dict(space=space.to_dict(), in_channels=3, norm_cfg=norm_cfg)
    state = {f"backbone.{name}": value for name, value in supernet.state_dict().items()}
    torch.save(dict(state_dict=state, meta=meta), tmp_path / "super.pth")
    return supernet, tmp_path / "super.pth"


def test_a_cut_out_network_has_the_files_norms(norms, space, tmp_path):
    supernet, file = norms
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        wanted = supernet(images, ARCH)[-1]
        cut = subnet_of(file, ARCH, space)
        torch.testing.assert_close(cut(images)[-1], wanted)
        write_subnet(tmp_path / "export.pth", cut, file)
        own = dict(norm_cfg=dict(type="BN", eps=1e-3))
        for kind, name, given in (
            ("pinas_mm.FromSupernet", "super.pth", dict(arch=ARCH)),
            ("pinas_mm.FromSupernet", "super.pth", dict(arch=ARCH, space=space, **own)),
            ("Pretrained", "export.pth", {}),
            ("Pretrained", "export.pth", dict(arch=ARCH, space=space, **own)),
        ):
            init_cfg = dict(type=kind, checkpoint=str(tmp_path / name))
            backbone = PiNASBackbone(**given, init_cfg=init_cfg)
            backbone.init_weights()
            torch.testing.assert_close(backbone.eval()(images)[-1], wanted)


@pytest.mark.parametrize("given", [{}, dict(norm_cfg=dict(type="SyncBN"))])
def test_other_norms_than_the_files_are_refused(norms, space, tmp_path, given):
    _, file = norms
    write_subnet(tmp_path / "export.pth", subnet_of(file, ARCH, space), file)
    words = (
        r"was trained with norm_cfg=dict\(type='BN', eps=0.001\), and the network has "
        r"dict\(type='BN', eps=1e-05\)"
    )
    with pytest.raises(UserError, match=words):
        subnet_of(file, ARCH, space, dict(type="BN"))
    for kind, name in (("pinas_mm.FromSupernet", "super.pth"), ("Pretrained", "export.pth")):
        init_cfg = dict(type=kind, checkpoint=str(tmp_path / name))
        backbone = PiNASBackbone(ARCH, space, init_cfg=init_cfg, **given)
        with pytest.raises(UserError, match=words):
            backbone.init_weights()
    init_cfg = dict(type="pinas_mm.FromSupernet", checkpoint=str(file))
    with pytest.raises(UserError, match=words):
        PiNASSupernet(space, init_cfg=init_cfg, **given).init_weights()


@SKELETONS.register_module()
@dataclasses.dataclass(frozen=True)
class OwnStem(PlainSkeleton):
    """Its stem is not under the name that skeletons have it under."""

    def stem(self, in_channels, widths, norm_cfg):
        return dict(patch=nn.Conv2d(in_channels, self.stem_width, 3, padding=1))


def test_a_skeleton_whose_stem_has_another_name_is_loaded(tmp_path):
    space = dict(candidates=["pinas_mm.ResNetBottleneck"], depths=(1,), widths=(8,), strides=(1,))
    space |= dict(skeleton="OwnStem")
    written = randomized(PiNASBackbone("0", space))
    meta = dict(arch="0", space=written.space.to_dict())
    torch.save(dict(state_dict=written.state_dict(), meta=meta), tmp_path / "own.pth")
    read = get_backbone(pretrained=tmp_path / "own.pth")
    for name, value in written.state_dict().items():
        assert torch.equal(read.state_dict()[name], value)
    # No channels are adapted, since no weight is known to be for them.
    with pytest.raises(UserError, match=r"of another shape \(patch\.weight has \[16, 3, 3, 3\]"):
        get_backbone(pretrained=tmp_path / "own.pth", in_channels=1)
