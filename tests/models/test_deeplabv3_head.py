"""The release's segmentation head inside mmseg."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

SPACE = dict(depths=(1, 1), widths=(64, 64), strides=(1, 2), stem_widths=(4, 4, 8))


@pytest.fixture(autouse=True)
def mmseg_scope():
    """As in an mmseg config, whatever scope an earlier run in this process has left."""
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


def segmentor(**head):
    return MODELS.build(
        ConfigDict(
            type="mmseg.EncoderDecoder",
            backbone=dict(type="pinas_mm.PiNASBackbone", arch="0-3", space=SPACE),
            decode_head=dict(
                dict(
                    type="pinas_mm.DeepLabV3ReleaseHead",
                    in_channels=256,
                    channels=8,
                    num_classes=4,
                ),
                **head,
            ),
            train_cfg=dict(),
            test_cfg=dict(mode="whole"),
        )
    )


def samples(count, height, width):
    found = []
    for _ in range(count):
        sample = SegDataSample(metainfo=dict(img_shape=(height, width), ori_shape=(height, width)))
        sample.gt_sem_seg = PixelData(data=torch.randint(4, (1, height, width)))
        found.append(sample)
    return found


@pytest.mark.parametrize("norm_cfg", [None, dict(type="BN"), dict(type="GN", num_groups=4)])
def test_trains(norm_cfg):
    model = segmentor(norm_cfg=norm_cfg)
    model.init_weights()
    losses = model.train().loss(torch.rand(2, 3, 33, 25), samples(2, 33, 25))
    losses["decode.loss_ce"].backward()
    assert all(p.grad is not None for p in model.decode_head.parameters())


def test_predicts_at_input_size():
    model = segmentor().eval()
    with torch.no_grad():
        (prediction,) = model.predict(torch.rand(1, 3, 33, 25), samples(1, 33, 25))
    assert prediction.seg_logits.data.shape == (4, 33, 25)
    assert prediction.pred_sem_seg.shape == (33, 25)


def test_dilations_set_the_branches():
    head = segmentor(dilations=(1, 2, 3)).decode_head
    assert len(head.aspp) == 3
    assert head.project.conv.in_channels == 4 * 8
    assert [branch.conv.dilation for branch in head.aspp] == [(1, 1), (2, 2), (3, 3)]


def test_dropout_is_where_the_release_has_it():
    head = segmentor().decode_head.train()
    ones = torch.ones(2, 8, 50, 50)
    channels = head.project_dropout(ones).flatten(2)
    assert all(len(channel.unique()) == 1 for image in channels for channel in image)
    values = head.dropout(ones)
    assert 0.05 < (values == 0).float().mean() < 0.15
    assert len(values[0, 0].unique()) == 2
