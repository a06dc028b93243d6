"""Costs of whole models: those of the stand-alone network in the supernet's place."""

import copy

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmpretrain.structures import DataSample
from single_paths import CLASSES, image_classifier, single_path, supernet
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from whole_models import detector, mask_rcnn, segmentor

from pinas_mm.errors import UserError
from pinas_mm.models.cost import count_costs, macs
from pinas_mm.models.following import Following
from pinas_mm.registry import COSTS, MODELS

SIZE = (48, 64)
ARCHS = ("01-2", "32-0")


def auxiliary(space):
    return dict(
        type="FCNHead",
        in_channels=space.out_channels[0],
        in_index=0,
        channels=4,
        num_convs=1,
        num_classes=3,
    )


def deeplabv3(space):
    config = segmentor(space, out_indices=(0, 1))
    head = dict(type="ASPPHead", in_channels=space.out_channels[1], in_index=1, channels=8)
    config.decode_head = dict(head, dilations=(1, 6), num_classes=3, norm_cfg=dict(type="BN"))
    config.auxiliary_head = auxiliary(space)
    return config


def upernet(space):
    config = segmentor(space, out_indices=(0, 1))
    head = dict(type="UPerHead", in_channels=list(space.out_channels), in_index=[0, 1], channels=8)
    config.decode_head = dict(head, pool_scales=(1, 2), num_classes=3)
    config.auxiliary_head = [auxiliary(space), auxiliary(space)]
    return config


def deep_head(space):
    """A classifier whose head is no linear one."""
    head = dict(type="StackedLinearClsHead", num_classes=CLASSES, mid_channels=[7])
    return image_classifier(space) | dict(head=head | dict(in_channels=space.out_channels[-1]))


KINDS = {f.__name__: f for f in (detector, mask_rcnn, deeplabv3, upernet, deep_head)}
KINDS["classifier"] = image_classifier


def alone(config, space, arch):
    """The model with the architecture's own network, random weights."""
    config = ConfigDict(config)
    backbone = dict(config.backbone, type="pinas_mm.PiNASBackbone", arch=arch)
    backbone.setdefault("out_indices", (len(space.depths) - 1,))
    model = MODELS.build({**config, "backbone": backbone})
    model.init_weights()
    return model.eval()


def costs_alone(model):
    """Parameters without auxiliary heads', and multiply-adds of one image."""
    facts = dict(img_shape=SIZE, batch_input_shape=SIZE, scale_factor=(1, 1))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.rand(1, 3, *SIZE), [DataSample(metainfo=facts)], mode="tensor")
    used = [p for n, p in model.named_parameters() if not n.startswith("auxiliary_head")]
    return sum(p.numel() for p in used), counter.get_total_flops() // 2


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_costs_are_those_of_the_stand_alone_model(space, config):
    model = single_path(config(space), torch.float32)
    before = (
        copy.deepcopy(model.state_dict()),
        str(model),
        str(model.model.__dict__.get("test_cfg")),
    )
    modes = [module.training for module in model.modules()]
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    table = count_costs(model.model, SIZE)
    assert torch.equal(torch.rand(3), wanted)
    for arch in ARCHS:
        cost = table.cost(arch)
        assert (cost.params, cost.macs) == costs_alone(alone(config(space), space, arch))
    backbone = count_costs(model.backbone, SIZE)
    for name in ("params", "macs"):
        assert np.array_equal(table[name].table, backbone[name].table, equal_nan=True)
        assert table[name].fixed > backbone[name].fixed
    state, *texts = before
    assert texts == [str(model), str(model.model.__dict__.get("test_cfg"))]
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_linear_classifier_costs_what_its_number_of_classes_says(space):
    model = single_path(image_classifier(space), torch.float32)
    whole, linear = count_costs(model.model, SIZE), count_costs(model.backbone, SIZE, CLASSES)
    for name in ("params", "macs"):
        assert whole[name].fixed == linear[name].fixed


def test_proposals_are_as_many_as_the_config_allows_whatever_the_weights(space):
    counted = []
    for threshold in (0.1, 0.7):
        config = mask_rcnn(space)
        config.test_cfg.rpn.nms.iou_threshold = threshold
        model = single_path(config, torch.float32)
        counted.append(count_costs(model.model, SIZE).cost(ARCHS[0]))
    assert counted[0] == counted[1]
    config.test_cfg.rpn.max_per_img -= 1
    fewer = count_costs(MODELS.build(config), SIZE).cost(ARCHS[0])
    assert fewer.macs < counted[0].macs


def test_a_cost_of_ones_own_gets_the_feature_maps(space):
    seen = []

    @COSTS.register_module(name="norms")
    def norms(part, x):
        seen.append(x)
        return sum(isinstance(module, nn.BatchNorm2d) for module in part.modules())

    @COSTS.register_module(name="pixels")
    def pixels(part, x):
        return x.shape[2:].numel()

    model = single_path(deeplabv3(space), torch.float32)
    try:
        table = count_costs(model.model, SIZE, names=("norms",))
        with pytest.raises(UserError, match=r"cost pixels .* follows .* EncoderDecoder .*tuple"):
            count_costs(model.model, SIZE, names=("pixels",))
        backbone = count_costs(model.backbone, SIZE, names=("norms", "pixels"))
    finally:
        del COSTS.module_dict["norms"], COSTS.module_dict["pixels"]
    # Two dilations, pooled images, bottleneck; none of the auxiliary head.
    assert table["norms"].fixed == backbone["norms"].fixed + 4
    (maps,) = (x for x in seen if isinstance(x, tuple))
    assert [tuple(x.shape) for x in maps] == [(1, 32, 12, 16), (1, 32, 6, 8)]


def test_attention_counts_as_its_matrix_products():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    with torch.no_grad():
        found = macs(layer, torch.rand(1, 10, 16))
    # Four projections, products of queries and keys and of those and the values, two layers.
    assert found == 10 * 16 * 16 * 4 + 2 * 10 * 10 * 16 + 2 * 10 * 16 * 32


def test_any_network_can_stand_in_the_place(space):
    config = mask_rcnn(space)
    model = alone(config, space, ARCHS[0])
    images = torch.rand(2, 3, *SIZE)
    with torch.no_grad():
        (found, other) = Following(model, SIZE, "predict").run(images, model.backbone)
        facts = dict.fromkeys(("img_shape", "ori_shape", "batch_input_shape"), SIZE)
        samples = [DataSample(metainfo=facts | dict(scale_factor=(1, 1))) for _ in images]
        expected, _ = model(images, samples, mode="predict")
    assert len(found.pred_instances.scores) == 5
    assert torch.equal(found.pred_instances.bboxes, expected.pred_instances.bboxes)
    assert not torch.equal(found.pred_instances.bboxes, other.pred_instances.bboxes)


def test_what_does_not_fit_is_refused(space):
    config = detector(space)
    config.backbone.out_indices = (1,)
    with pytest.raises(UserError, match=r"follows .* FCOS fails on .* 1x32x6x8 .*out_indices"):
        count_costs(MODELS.build(config), SIZE)
    two = nn.ModuleList(MODELS.build(supernet(space)) for _ in range(2))
    with pytest.raises(UserError, match="ModuleList has 2 networks"):
        count_costs(two, SIZE)
    config = segmentor(space)
    config.test_cfg = dict(mode="slide", crop_size=(32, 32), stride=(16, 16))
    following = Following(alone(config, space, ARCHS[0]), SIZE, "predict")
    with pytest.raises(UserError, match="32 x 32 pixels of an image of 48 x 64, as sliding"):
        following((torch.rand(1, 32, 12, 16),))
