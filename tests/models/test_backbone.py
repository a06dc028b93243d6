"""The stand-alone network is an ordinary backbone in mmpretrain, mmdet and mmseg."""

import mmcv.ops
import mmdet.registry
import mmengine.registry
import mmpretrain.registry
import mmseg.registry
import pytest
import torch
import torchvision
from mmengine.registry import DefaultScope
from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.models import PiNASBackbone

CLS = "301-3231-203213-032"
X = torch.randn(2, 3, 48, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def build(space):
    def build(arch="13-2", **options):
        torch.manual_seed(0)
        backbone = PiNASBackbone(arch, space, **options)
        backbone.init_weights()
        return backbone.train()

    return build


@pytest.mark.parametrize("library", [mmpretrain, mmdet, mmseg])
def test_the_libraries_build_it_from_a_config(library, space):
    config = dict(type="pinas_mm.PiNASBackbone", arch="13-2", space=space.to_dict())
    scope = library.__name__
    with DefaultScope.overwrite_default_scope(scope):
        for registry in (library.registry.MODELS, mmengine.registry.MODELS):
            backbone = registry.build(dict(config, norm_cfg=dict(type="GN", num_groups=4)))
            backbone.init_weights()
            assert isinstance(backbone, PiNASBackbone)
            assert [tuple(out.shape) for out in backbone(X)] == [(2, 32, 12, 8), (2, 32, 6, 4)]


def test_output_stride_8_has_the_releases_dilations_and_pools():
    with torch.device("meta"):
        backbone = PiNASBackbone(CLS, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))
        outs = backbone(torch.zeros(2, 3, 480, 480))
    assert [out.shape[-1] for out in outs] == [120, 60, 60, 60]
    assert [out.shape[1] for out in outs] == [256, 512, 1024, 2048]
    blocks = [block for stage in backbone.stages for block in stage]
    dilations = [block.conv2.conv.dilation[0] for block in blocks]
    assert dilations == [1] * 7 + [1, 2, 2, 2, 2, 2] + [2, 4, 4]
    pools = {n: block.pool.stride for n, block in enumerate(blocks) if block.pool is not None}
    assert pools == {3: 2, 7: 1, 13: 1}


def test_out_indices_choose_the_stages(build):
    every = build().eval()(X)
    assert len(every) == 2
    for index in range(2):
        (one,) = build(out_indices=(index,)).eval()(X)
        assert torch.equal(one, every[index])


def test_mmcvs_operators_read_the_features_rightly(build):
    rois = torch.tensor([[0.0, 1, 2, 20, 30], [1, 8, 4, 30, 40]])
    for stride, out in zip((4, 8), build().eval()(X), strict=True):
        # torchvision's operator takes any memory format.
        expected = torchvision.ops.roi_align(out, rois, 3, 1 / stride, aligned=True)
        torch.testing.assert_close(mmcv.ops.roi_align(out, rois, 3, 1 / stride), expected)


@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_other_channels_are_taken_where_configured(build, channels):
    backbone = build(in_channels=channels)
    assert backbone.conv1[0].weight.shape == (8, channels, 3, 3)
    assert backbone(torch.randn(2, channels, 48, 32))[-1].shape == (2, 32, 6, 4)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (dict(arch="13-21"), "too long: 4 blocks, this space has 3"),
        (dict(arch="13"), "too short"),
        (dict(arch="13-4"), "4 at block 2: allowed are candidates 0 to 3"),
        (dict(arch="resnet50"), "no known name (pinas_cls, pinas_trans)"),
        (dict(arch="pinas_cls"), "of the paper's search space, this one has other candidates"),
        (dict(arch=None), "PiNASBackbone has no arch: give one"),
        (
            dict(out_indices=(0, 2)),
            "out_indices is [0, 2]: allowed are ascending stages from 0 to 1",
        ),
        (dict(out_indices=(-1,)), "out_indices is [-1]"),
        (dict(out_indices=(1, 0)), "out_indices is [1, 0]"),
        (dict(out_indices=(1, 1)), "out_indices is [1, 1]"),
        (dict(out_indices=()), "out_indices is []"),
        (dict(out_indices=1), "out_indices is 1"),
        (dict(out_indices=("0",)), "out_indices is ['0']"),
        (dict(out_indices=(0, None)), "out_indices is [0, None]"),
        (dict(frozen_stages=3), "frozen_stages is 3: allowed are -1 to 2"),
        (dict(frozen_stages=-2), "frozen_stages is -2"),
        (dict(frozen_stages="1"), "frozen_stages is '1'"),
        (dict(frozen_stages=None), "frozen_stages is None"),
        (dict(in_channels=0), "in_channels is 0"),
        (dict(in_channels=3.5), "in_channels is 3.5"),
        (dict(strides=(1,)), "strides [1] has 1 numbers, the space 2 stages"),
        (dict(strides=()), "strides must be whole numbers of at least 1, not []"),
        (dict(strides=2), "strides must be whole numbers of at least 1, not 2"),
        (dict(strides=(2, 0)), "at least 1, not [2, 0]"),
        (dict(strides=(2, 1.5)), "at least 1, not [2, 1.5]"),
        (dict(strides=(2, 1)), "at layer2 the shortcut is projected"),
        (dict(dilations=(1, 1, 2)), "dilations [1, 1, 2] has 3 numbers, the space 2 stages"),
        (dict(dilations=(1, 0)), "dilations must be"),
        (dict(norm_cfg=dict(type="Norm")), "allowed types are BN, SyncBN and GN"),
        (
            dict(memory_format="nhwc"),
            "memory_format is 'nhwc': allowed are channels_last, contiguous_format",
        ),
        (dict(memory_format=["channels_last"]), "memory_format is ['channels_last']"),
        (dict(space=dict(depth=3)), "search space has no depth"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(space, wrong, said):
    with pytest.raises(UserError) as caught:
        PiNASBackbone(**{"arch": "13-2", "space": space, **wrong})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_stride_that_the_space_has_no_projection_for_is_refused(space):
    flat = {**space.to_dict(), "strides": (2, 1)}
    with pytest.raises(UserError, match=r"layer2 the space does not stride.*1 is allowed, not 2"):
        PiNASBackbone("13-2", flat, strides=(2, 2))


def test_any_other_strides_and_dilations_have_the_same_weights(space):
    def shapes(**layout):
        state = PiNASBackbone("13-2", space, **layout).state_dict()
        return {name: value.shape for name, value in state.items()}

    # Stage 1 changes channels, and so is projected at any stride.
    for strides in ((1, 2), (4, 2), (2, 3)):
        assert shapes(strides=strides, dilations=(2, 4)) == shapes()


@torch.no_grad()
@pytest.mark.parametrize("memory_format", ["channels_last", "contiguous_format"])
def test_memory_lies_as_is_asked_for_and_the_features_are_the_same(space, memory_format):
    layout = getattr(torch, memory_format)
    other = PiNASBackbone("13-2", space).double().eval()
    backbone = PiNASBackbone("13-2", space, memory_format=memory_format).double().eval()
    backbone.load_state_dict(other.state_dict())
    taken = []
    for module in backbone.modules():
        if isinstance(module, torch.nn.Conv2d):
            assert module.weight.is_contiguous(memory_format=layout)
            module.register_forward_hook(lambda module, inputs, out: taken.append(out))
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    for one, wanted in zip(backbone(images), other(images), strict=True):
        torch.testing.assert_close(one, wanted)
    assert taken
    assert all(out.is_contiguous(memory_format=layout) for out in taken)


def test_published_architectures_have_names():
    with torch.device("meta"):
        backbone = PiNASBackbone("pinas_trans", strides=(1, 2, 1, 1))
    assert str(backbone.arch) == "333-3113-330011-021"


def test_modes_can_be_changed_back_and_forth(build):
    backbone = build(frozen_stages=1, norm_eval=True)
    once = {name: module.training for name, module in backbone.named_modules()}
    backbone.eval()
    assert not any(module.training for module in backbone.modules())
    backbone.train()
    assert {name: module.training for name, module in backbone.named_modules()} == once
    assert backbone.layer2[0].training
    assert not backbone.layer2[0].bn1.training
    assert not backbone.layer1.training


def test_weights_start_as_configured(build):
    backbone = build()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Unlike a supernet's, a network trained from scratch starts with all norms at one.
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
    weight = backbone.layer2[0].conv1.weight
    kaiming = (2 / weight[:, 0].numel()) ** 0.5
    assert abs(float(weight.std()) / kaiming - 1) < 0.2
