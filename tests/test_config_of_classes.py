"""A config whose types are classes, as mmengine's ``read_base`` has them, goes the whole way."""

import pytest
import torch
from conftest import NAMES

from pinas_mm import get_backbone
from pinas_mm.weights.checkpoint import read_checkpoint

pytestmark = pytest.mark.slow

CONFIG = """
from mmcv.cnn import ConvModule
from mmengine.config import read_base
from mmpretrain.models import GlobalAveragePooling, ImageClassifier, LinearClsHead
from torch.nn import BatchNorm2d, SiLU

from pinas_mm.algorithms import SinglePath
from pinas_mm.models import PiNASSupernet
from pinas_mm.operations import Module, ResNetBottleneck
from pinas_mm.skeletons import PlainSkeleton

custom_imports = dict(imports=["pinas_mm"], allow_failed_imports=False)
default_scope = "mmpretrain"
conv = dict(type=ConvModule, kernel_size=3, padding=1, act_cfg=dict(type=SiLU))
space = dict(
    skeleton=dict(type=PlainSkeleton, stem_width=8),
    candidates=[dict(type=Module, cfg=conv, norm_cfg="norm_cfg"), dict(type=ResNetBottleneck)],
    depths=(1, 1),
    widths=(8, 16),
    strides=(2, 2),
)
classifier = dict(
    type=ImageClassifier,
    data_preprocessor=dict(num_classes=10, mean=[0] * 3, std=[255] * 3, to_rgb=True),
    backbone=dict(type=PiNASSupernet, norm_cfg=dict(type=BatchNorm2d), space=space),
    neck=dict(type=GlobalAveragePooling),
    head=dict(type=LinearClsHead, num_classes=10, in_channels=16),
)
model = dict(type=SinglePath, model=classifier)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="pinas_mm.ImageFolder",
        data_root="ROOT",
        split="train",
        pipeline=[dict(type="pinas_mm.LoadImage"), dict(type="PackInputs")],
    ),
)
train_cfg = dict(by_epoch=True, max_epochs=2)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.01))
default_hooks = dict(checkpoint=dict(type="CheckpointHook", interval=1))
"""


def test_it_trains_is_resumed_and_exported(tool, digits, tmp_path):
    config, work = tmp_path / "classes.py", tmp_path / "work"
    config.write_text(CONFIG.replace("ROOT", str(digits / "imagenet")))

    def run(*arguments):
        name = ("--cfg-options", f"experiment_name={next(NAMES)}")
        status, printed, errors = tool(*arguments, *(name if arguments[0] == "train.py" else ()))
        assert status == 0, errors
        return printed

    run("train.py", config, "--work-dir", work)
    config.write_text(config.read_text().replace("max_epochs=2", "max_epochs=3"))
    run("train.py", config, "--work-dir", work, "--resume")
    meta = read_checkpoint(work)["meta"]
    assert meta["epoch"] == 3
    assert meta["norm_cfg"] == dict(type="mmengine.BN")
    assert meta["space"]["candidates"][0]["cfg"]["type"] == "mmengine.ConvModule"

    which = ["--arch", "01", "--supernet", work, "--config", config, "--size", 32]
    out, folder = tmp_path / "winner.pth", tmp_path / "winner"
    run("export.py", *which, "--out", out, "--torchscript", tmp_path / "winner.pt")
    run("export.py", *which, "--model-out", folder, "--batches", 2)
    assert "<class" not in (folder / "winner.py").read_text()
    # A file of plain layers needs no word of the user's.
    images = torch.rand(2, 3, 32, 32)
    deployed = torch.jit.load(tmp_path / "winner.pt")
    with torch.no_grad():
        read = get_backbone(pretrained=out).eval()(images)
        torch.testing.assert_close(read[-1], deployed(images)[-1], rtol=1e-4, atol=1e-4)
