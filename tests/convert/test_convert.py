"""Every kind is recognized in every space, loads strictly and computes what its source does."""

import random

import numpy as np
import published
import pytest
import torch
from mmpretrain.models import ImageClassifier, ResNeSt
from mmpretrain.models.backbones.resnest import Bottleneck
from mmseg.models import EncoderDecoder
from published import ARCHS, MAKERS, SPACES, without

from pinas_mm.algorithms import PiNAS
from pinas_mm.convert import convert_state
from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone, PiNASSupernet
from pinas_mm.space import SearchSpace

every_kind = pytest.mark.parametrize("kind", MAKERS)
every_space = pytest.mark.parametrize("space", SPACES)


@every_kind
@every_space
def test_every_kind_is_recognized_in_every_space(kind, space):
    source = MAKERS[kind](space)
    converted = convert_state(source)
    assert converted.kind == kind
    assert converted.space.depths == SPACES[space]["depths"]
    supernet = "backbone.layer1.0.0.conv1.weight" in converted.state_dict
    assert (converted.arch is None) == supernet
    assert converted.state_dict.keys().isdisjoint(source) or kind.startswith("self-supervised")


@every_space
def test_training_checkpoint_loads_strictly(space):
    source = published.training(space)
    state = convert_state(source).state_dict
    neck = dict(
        type="mmpretrain.MoCoV2Neck",
        in_channels=published.out_channels(space),
        hid_channels=published.HIDDEN,
        out_channels=published.DIM,
    )
    pair = dict(type="pinas_mm.InfoNCEHead", dim=published.DIM, queue_size=published.QUEUE)
    model = PiNAS(
        dict(type="pinas_mm.PiNASSupernet", space=SPACES[space]),
        neck,
        dict(type="pinas_mm.CrossPathHead", pair=pair),
    )
    model.load_state_dict(state, strict=True)
    assert torch.equal(model.head.pair.queue, source["queue"])
    assert model.head.pair.queue_ptr.item() == 3
    assert torch.equal(model.neck.mlp[2].bias, source["encoder_q.1.mlp.2.bias"])
    assert torch.equal(model.teacher.neck.mlp[0].weight, source["encoder_k.1.mlp.0.weight"])
    for ours, theirs in (
        (model.backbone, "encoder_q.0."),
        (model.teacher.backbone, "encoder_k.0."),
    ):
        weight = ours.layer2[0][1].conv3.weight
        assert torch.equal(weight, source[theirs + "layer2.0.1.conv3.weight"])


@every_space
def test_supernet_computes_what_its_source_does(space):
    source = published.supernet(space)
    converted = convert_state(source)
    theirs = PiNASSupernet(SPACES[space]).eval()
    theirs.load_state_dict(source)
    ours = PiNASSupernet(SPACES[space]).eval()
    bare = {n.removeprefix("backbone."): v for n, v in converted.state_dict.items()}
    ours.load_state_dict(bare, strict=True)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(ours(images, ARCHS[space])[0], theirs(images, ARCHS[space])[0])


def test_last_candidates_shortcut_stands_under_all_keys():
    source = published.training("three-candidates")
    state = convert_state(source).state_dict
    for ours, theirs in (("backbone.", "encoder_q.0."), ("teacher.backbone.", "encoder_k.0.")):
        for candidate in range(3):
            for part in ("downsample.1.weight", "downsample.2.running_var"):
                got = state[f"{ours}layer3.0.{candidate}.{part}"]
                assert torch.equal(got, source[f"{theirs}layer3.0.2.{part}"])


@every_space
def test_classifier_computes_what_its_source_does(space):
    source = published.classifier(space)
    converted = convert_state(source)
    model = ImageClassifier(
        backbone=dict(type="pinas_mm.PiNASBackbone", arch=ARCHS[space], space=SPACES[space]),
        neck=dict(type="mmpretrain.GlobalAveragePooling"),
        head=dict(
            type="mmpretrain.LinearClsHead",
            num_classes=published.CLASSES,
            in_channels=published.out_channels(space),
        ),
    ).eval()
    model.load_state_dict(converted.state_dict, strict=True)
    backbone = PiNASBackbone(ARCHS[space], SPACES[space]).eval()
    backbone.load_state_dict(without(source, "fc.weight", "fc.bias"))
    images = torch.rand(2, 3, 32, 32)
    pooled = backbone(images)[-1].mean(dim=(2, 3))
    expected = torch.nn.functional.linear(pooled, source["fc.weight"], source["fc.bias"])
    torch.testing.assert_close(model(images), expected)


@every_space
def test_segmentor_loads_strictly(space):
    source = published.deeplabv3(space)
    last = len(SPACES[space]["depths"]) - 1
    head = dict(num_classes=published.CLASSES, channels=8, norm_cfg=dict(type="BN"))
    model = EncoderDecoder(
        backbone=dict(type="pinas_mm.PiNASBackbone", arch=ARCHS[space], space=SPACES[space]),
        decode_head=dict(
            head,
            type="pinas_mm.DeepLabV3ReleaseHead",
            in_channels=published.out_channels(space),
            in_index=last,
        ),
        auxiliary_head=dict(
            head,
            type="mmseg.FCNHead",
            in_channels=published.out_channels(space, -2),
            in_index=last - 1,
            num_convs=1,
            concat_input=False,
        ),
    )
    model.load_state_dict(convert_state(source).state_dict, strict=True)
    assert torch.equal(model.decode_head.conv_seg.bias, source["head.block.4.bias"])
    assert torch.equal(
        model.decode_head.image_pool[1].conv.weight, source["head.aspp.b4.gap.1.weight"]
    )


@every_kind
@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_wrapped_checkpoints_are_the_same(kind, wrapper):
    source = MAKERS[kind]("expansion-8")
    parallel = published.prefixed("module.", source)
    wrapped = {wrapper: parallel, "optimizer": {"lr": 0.1}, "epoch": 3}
    assert convert_state(wrapped).state_dict.keys() == convert_state(source).state_dict.keys()


def test_architectures_of_the_papers_space_are_read_from_shapes():
    space, rng = SearchSpace(), random.Random(0)
    for _ in range(5):
        arch = space.arch([rng.randrange(4) for _ in range(16)])
        with torch.device("meta"):
            source = PiNASBackbone(arch).state_dict()
            source |= {"fc.weight": torch.empty(1000, 2048), "fc.bias": torch.empty(1000)}
        converted = convert_state(source)
        assert converted.arch == arch
        assert converted.space == space


@every_space
def test_recorded_space_and_architecture_build_the_network(space):
    converted = convert_state(published.classifier(space))
    meta = converted.meta("x.pth")
    network = PiNASBackbone(meta["arch"], meta["space"])
    network.load_state_dict(
        {
            name.removeprefix("backbone."): value
            for name, value in converted.state_dict.items()
            if name.startswith("backbone.")
        },
        strict=True,
    )


def test_same_candidate_in_different_stages_is_one_candidate():
    converted = convert_state(published.classifier("three-candidates"))
    assert converted.space.num_candidates == 3
    assert str(converted.arch) == "01-2-102"  # Numbered as they first appear in 02-1-201.


def test_random_spaces():
    """Among them spaces whose shapes some of the paper's candidates would fit, too."""
    rng, tried = random.Random(0), 0
    while tried < 40:
        stages = range(rng.randint(1, 4))
        try:
            space = SearchSpace(
                candidates=[
                    (rng.randint(1, 4), rng.randint(1, 3), rng.randint(4, 99))
                    for _ in range(rng.randint(1, 5))
                ],
                depths=[rng.randint(1, 3) for _ in stages],
                widths=[rng.choice([8, 20, 24, 36, 64]) for _ in stages],
                strides=[rng.randint(1, 2) for _ in stages],
                expansion=rng.choice([1, 2, 3, 4, 8]),
                stem_widths=[rng.choice([4, 16, 64]) for _ in range(3)],
            )
        except UserError:  # Candidates whose groups do not divide their channels.
            continue
        tried += 1
        arch = space.random(np.random.default_rng(tried))
        out = space.out_channels[-1]
        with torch.device("meta"):
            supernet = PiNASSupernet(space).state_dict()
            standalone = PiNASBackbone(arch, space).state_dict()
            standalone |= {"fc.weight": torch.empty(3, out), "fc.bias": torch.empty(3)}
        assert convert_state(supernet).space.depths == space.depths
        found = convert_state(standalone)
        assert found.arch.depths == space.depths


def resnest_classifier(radix, groups, base_width, fast):
    """mmpretrain's ResNeSt-50 with a classifier, and its weights under the release's names."""
    backbone = ResNeSt(50, groups=groups, width_per_group=base_width, radix=radix)
    head = dict(type="LinearClsHead", num_classes=7, in_channels=2048)
    model = ImageClassifier(backbone, dict(type="GlobalAveragePooling"), head)
    model.load_state_dict(published.fill(published.shapes_of(model)))
    for block in (m for m in backbone.modules() if isinstance(m, Bottleneck)):
        # mmpretrain has no fast variants: the pool of a striding block is moved.
        if fast and block.avg_down_stride:
            pool, block.avd_layer = block.avd_layer, torch.nn.Identity()
            block.conv2.register_forward_pre_hook(lambda _, x, pool=pool: (pool(x[0]),))
    names = {"backbone.stem.2.bn.": "bn1."}
    for number in range(3):
        names[f"backbone.stem.{number}.conv."] = f"conv1.{3 * number}."
        names.setdefault(f"backbone.stem.{number}.bn.", f"conv1.{3 * number + 1}.")
    # Without a stride mmpretrain leaves the shortcut's pool out.
    for number in (1, 0):
        start = f"layer1.0.downsample.{number}."
        names[f"backbone.{start}"] = f"layer1.0.downsample.{number + 1}."
    names |= {"backbone.": "", "head.": ""}
    source = {}
    for name, value in model.state_dict().items():
        start = next(start for start in names if name.startswith(start))
        source[names[start] + name.removeprefix(start)] = value
    return model.double().eval(), source


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("numbers", [(1, 1, 64), (4, 2, 40)], ids=str)
@torch.no_grad()
def test_resnest_pools_where_its_variant_does(numbers, fast):
    theirs, source = resnest_classifier(*numbers, fast)
    seeded = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 64, 64, dtype=torch.double, generator=seeded)
    outputs = {}
    for avd_first in (False, True):
        converted = convert_state(source, avd_first=avd_first)
        assert ("--avd-first" in str(converted)) == (not avd_first)
        meta = converted.meta("x.pth")
        ours = ImageClassifier(
            dict(type="pinas_mm.PiNASBackbone", arch=meta["arch"], space=meta["space"]),
            dict(type="GlobalAveragePooling"),
            dict(type="LinearClsHead", num_classes=7, in_channels=2048),
        ).double()
        ours.eval().load_state_dict(converted.state_dict, strict=True)
        outputs[avd_first] = ours(images)
    expected = theirs(images)
    torch.testing.assert_close(outputs[fast], expected, rtol=1e-9, atol=0)
    assert not torch.isclose(outputs[not fast], expected, rtol=1e-6, atol=0).any()
