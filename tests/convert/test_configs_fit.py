"""Published weights, converted, are whole for the models of the paper's configs."""

import published
import pytest
import torch
from conftest import REPOSITORY
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from pinas_mm.convert import convert_state
from pinas_mm.space import SearchSpace
from pinas_mm.weights.checkpoint import check_fits

CLS, TRANS = "301-3231-203213-032", "333-3113-330011-021"
HEADS = dict(
    classifier=published.classifier,
    mask_rcnn=lambda space: published.mask_rcnn(space, pyramid=256, conv=256, fc=1024, mask=256),
    deeplabv3=lambda space: published.deeplabv3(space, channels=256),
)


@pytest.mark.parametrize(
    ("kind", "arch", "classes", "config"),
    [
        ("classifier", CLS, 1000, "imagenet/pinas-cls_32xb64_in1k.py"),
        ("classifier", TRANS, 1000, "imagenet/pinas-trans_32xb64_in1k.py"),
        ("mask_rcnn", TRANS, 80, "coco/mask-rcnn_pinas-trans_fpn_syncbn_ms-90k_coco.py"),
        (
            "deeplabv3", TRANS, 150,
            "ade20k/deeplabv3_pinas-trans-d8_4xb4-160k_ade20k-480x480.py",
        ),
        (
            "deeplabv3", TRANS, 19,
            "cityscapes/deeplabv3_pinas-trans-d8_4xb2-80k_cityscapes-768x768.py",
        ),
    ],
)  # fmt: skip
def test_no_key_is_missing_or_left_over(kind, arch, classes, config, monkeypatch):
    """Shapes only, on the meta device: at full size."""
    paper = SearchSpace()
    monkeypatch.setitem(published.SPACES, "paper", dict(widths=paper.widths, depths=paper.depths))
    monkeypatch.setitem(published.ARCHS, "paper", arch)
    monkeypatch.setattr(published, "CLASSES", classes)
    monkeypatch.setattr(
        published, "fill", lambda shapes, _=0: {n: torch.empty(s) for n, s in shapes.items()}
    )
    config = Config.fromfile(REPOSITORY / "configs" / config)
    init_default_scope(config.default_scope)
    with torch.device("meta"):
        converted = convert_state(HEADS[kind]("paper"))
        model = MODELS.build(config.model)
    assert (converted.space, str(converted.arch)) == (paper, arch)
    check_fits(model, converted.state_dict, "the converted checkpoint")
