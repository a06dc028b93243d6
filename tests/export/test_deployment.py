"""ONNX and TorchScript compute what PyTorch does, at any size, from one file."""

import numpy as np
import pytest
import torch
from deployed import photographs, run_onnx, run_torchscript, trained
from mmengine.registry import init_default_scope

from pinas_mm.export import Deployable, write_onnx, write_torchscript
from pinas_mm.models import PiNASBackbone
from pinas_mm.registry import MODELS
from pinas_mm.space import SearchSpace

pytestmark = pytest.mark.slow

CLS, TRANS = "301-3231-203213-032", "333-3113-330011-021"
RANDOM = [str(arch) for arch in SearchSpace().sample(5, np.random.default_rng(0))]
FORMATS = [(write_onnx, run_onnx), (write_torchscript, run_torchscript)]
SHAPES = [(1, 64, 64), (3, 97, 130)]


def assert_same(path, run, module, channels=3, shapes=SHAPES):
    """The file's outputs are within 1e-4 of the module's; returns them of the last shape."""
    for batch, height, width in shapes:
        images = photographs("val", batch, channels, height, width, seed=1)
        with torch.no_grad():
            wanted = module(images)
        wanted = [wanted] if isinstance(wanted, torch.Tensor) else wanted
        outputs = run(path, images)
        assert len(outputs) == len(wanted)
        for ours, theirs in zip(wanted, outputs.values(), strict=True):
            assert ours.std() > 0.05, "there is nothing to compare"
            torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-4)
    return outputs


@pytest.mark.parametrize(("write", "run"), FORMATS)
@pytest.mark.parametrize("arch", [CLS, TRANS, *RANDOM])
def test_architectures_of_the_papers_space(tmp_path, arch, write, run):
    backbone = trained(PiNASBackbone(arch))
    assert write(tmp_path / "file", Deployable.of(backbone), 64) < 1e-5
    outputs = assert_same(tmp_path / "file", run, backbone)
    assert [(name, *out.shape) for name, out in outputs.items()] == [
        ("stage1", 3, 256, 25, 33),
        ("stage2", 3, 512, 13, 17),
        ("stage3", 3, 1024, 7, 9),
        ("stage4", 3, 2048, 4, 5),
    ]


@pytest.mark.parametrize(("write", "run"), FORMATS)
@pytest.mark.parametrize(
    ("options", "names"),
    [
        (dict(strides=(1, 2), dilations=(2, 1)), ["stage1", "stage2"]),
        (dict(norm_cfg=dict(type="GN", num_groups=2), out_indices=[1]), ["stage2"]),
        (dict(norm_cfg=dict(type="SyncBN"), frozen_stages=1), ["stage1", "stage2"]),
        (dict(in_channels=1, with_cp=True), ["stage1", "stage2"]),
    ],
    ids=["dilated", "group-norm", "sync-bn", "gray"],
)
def test_options_of_a_backbone(space, tmp_path, options, names, write, run):
    backbone = trained(PiNASBackbone("31-2", space, **options))
    write(tmp_path / "file", Deployable.of(backbone), 32)
    channels = options.get("in_channels", 3)
    outputs = assert_same(tmp_path / "file", run, backbone, channels, [(1, 32, 32), (3, 49, 33)])
    assert list(outputs) == names


@pytest.mark.parametrize(("write", "run"), FORMATS)
def test_output_stride_8(tmp_path, write, run):
    options = dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), out_indices=(2, 3))
    backbone = trained(PiNASBackbone(TRANS, **options))
    write(tmp_path / "file", Deployable.of(backbone), 64)
    outputs = assert_same(tmp_path / "file", run, backbone, shapes=[(1, 64, 64), (2, 65, 79)])
    assert [out.shape[2:] for out in outputs.values()] == [(9, 10), (9, 10)]


@pytest.mark.parametrize(("write", "run"), FORMATS)
def test_whole_classifier(classifier_config, tmp_path, write, run):
    init_default_scope("mmpretrain")
    torch.manual_seed(0)
    classifier = trained(MODELS.build(classifier_config.model))
    torch.nn.init.normal_(classifier.head.fc.weight)
    write(tmp_path / "file", Deployable.of(classifier, classifier_config), 32)
    outputs = assert_same(tmp_path / "file", run, classifier, shapes=[(1, 32, 32), (3, 49, 33)])
    assert [(name, *out.shape) for name, out in outputs.items()] == [("logits", 3, 10)]
