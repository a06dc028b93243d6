"""The stand-alone network is an ordinary backbone in mmpretrain, mmdet and mmseg."""

import mmcv.ops
import mmdet.registry
import mmpretrain.registry
import mmseg.registry
import pytest
import torch
import torchvision
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
    backbone = library.registry.MODELS.build(config)
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


def test_grayscale_images_are_taken_where_configured(build):
    assert build(in_channels=1)(X[:, :1])[-1].shape == (2, 32, 6, 4)


def test_the_architecture_is_checked(build):
    with pytest.raises(UserError, match="too long"):
        build("13-21")


@pytest.mark.parametrize("frozen", [-1, 0, 1, 2])
def test_frozen_stages_survive_a_training_step_unchanged(build, frozen):
    backbone = build(frozen_stages=frozen)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    learning = [p for p in backbone.parameters() if p.requires_grad]
    prefixes = ["conv1.", "bn1.", "layer1.", "layer2."]
    fixed = tuple(prefixes[: {-1: 0, 0: 2, 1: 3, 2: 4}[frozen]])
    out = sum(out.square().mean() for out in backbone(X.clone().requires_grad_()))
    out.backward()
    if learning:
        torch.optim.SGD(learning, lr=1.0, weight_decay=0.1).step()
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, before[key]) == key.startswith(fixed), key


def test_norm_eval_keeps_statistics_but_trains_the_rest(build):
    backbone = build(norm_eval=True)
    before = {key: value.clone() for key, value in backbone.named_buffers()}
    sum(out.square().mean() for out in backbone(X)).backward()
    assert all(torch.equal(value, before[key]) for key, value in backbone.named_buffers())
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@pytest.mark.parametrize("norm_cfg", [dict(type="BN"), dict(type="GN", num_groups=4)])
def test_recomputing_blocks_changes_nothing(build, norm_cfg):
    plain, recomputed = (build(norm_cfg=norm_cfg, with_cp=with_cp) for with_cp in (False, True))
    for backbone in (plain, recomputed):
        for _ in range(2):
            sum(out.square().mean() for out in backbone(X)).backward()
    for one, other in zip(plain.parameters(), recomputed.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    for one, other in zip(plain.buffers(), recomputed.buffers(), strict=True):
        assert torch.equal(one, other)


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
