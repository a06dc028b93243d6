"""An operation of your own in a search space, the whole way from a supernet to a detector.

``GatedConv`` is the user's. The rest trains a small supernet with it on handwritten digits,
searches that, exports the winner and trains mmdet's RetinaNet on it, a minute in all: so few steps
show the way, not a result.

    python examples/own_operation.py

Config files find the operation with this folder on PYTHONPATH and

    custom_imports = dict(imports=["pinas_mm", "own_operation"], allow_failed_imports=False)
"""

import argparse
import dataclasses
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from torch import nn

from pinas_mm.commands.command import command
from pinas_mm.data.digits import prepare
from pinas_mm.engine.launch import build_runner
from pinas_mm.engine.run_search import run_search
from pinas_mm.export import read_best, recompute_statistics, subnet_of, write_subnet
from pinas_mm.operations import BlockSpec, Operation
from pinas_mm.operations.norms import norm_layer
from pinas_mm.registry import OPERATIONS


class Gated(nn.Module):
    """A convolution whose channels a look at the whole image opens and closes, and a shortcut."""

    def __init__(
        self, kernel: int, spec: BlockSpec, shortcut: nn.Module | None, norm_cfg: dict
    ) -> None:
        super().__init__()
        channels, padding = (spec.in_channels, spec.out_channels), spec.dilation * (kernel // 2)
        self.conv = nn.Conv2d(*channels, kernel, spec.stride, padding, spec.dilation, bias=False)
        self.norm = norm_layer(norm_cfg, spec.out_channels)
        self.gate = nn.Conv2d(*channels, 1)
        self.shortcut = shortcut

    def zero_residual(self) -> None:
        """Asked for by a supernet, whose paths shall all start as their shortcuts."""
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride), rounded up."""
        out = self.norm(self.conv(x)) * self.gate(x.mean(dim=(2, 3), keepdim=True)).sigmoid()
        return torch.relu(out + (x if self.shortcut is None else self.shortcut(x)))


@OPERATIONS.register_module()
@dataclasses.dataclass(frozen=True)
class GatedConv(Operation):
    """What configs, costs, samplers and pictures know of it: its fields."""

    kernel: int = 3

    def build(self, spec: BlockSpec, shortcut: nn.Module | None, norm_cfg: dict) -> nn.Module:
        """The module for a place."""
        return Gated(self.kernel, spec, shortcut, norm_cfg)


# Strides 4, 8, 16 and 32, as ResNet's: detectors take it as they take a ResNet.
SPACE = dict(
    skeleton=dict(type="pinas_mm.PlainSkeleton", stem_width=16, stem_stride=2),
    candidates=[
        dict(type="pinas_mm.ResNetBottleneck", kernel=3),
        dict(type="pinas_mm.InvertedResidual", kernel=5, expansion=3),
        dict(type="pinas_mm.Identity"),
        dict(type="GatedConv", kernel=3),
        dict(type="GatedConv", kernel=5),
    ],
    depths=(1, 2, 2, 1),
    widths=(16, 32, 48, 64),
    strides=(2, 2, 2, 2),
)


def config(data: Path, steps: int) -> Config:
    """How the supernet is trained and searched; a config file would say the same."""

    def loader(split: str, sampler: str) -> dict:
        pipeline = [dict(type="pinas_mm.LoadImage"), dict(type="PackInputs")]
        images = dict(data_root=f"{data}/imagenet", split=split, pipeline=pipeline)
        dataset = dict(type="ImageNet", **images)
        return dict(batch_size=16, num_workers=0, sampler=dict(type=sampler), dataset=dataset)

    classifier = dict(
        type="ImageClassifier",
        data_preprocessor=dict(num_classes=10, mean=[128] * 3, std=[64] * 3),
        backbone=dict(type="pinas_mm.PiNASSupernet", space=SPACE),
        neck=dict(type="GlobalAveragePooling"),
        head=dict(type="LinearClsHead", num_classes=10, in_channels=64),
    )
    settings = dict(
        default_scope="mmpretrain",
        model=dict(type="pinas_mm.SinglePath", model=classifier),
        train_dataloader=loader("train", "InfiniteSampler"),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=3e-3)),
        train_cfg=dict(by_epoch=False, max_iters=steps),
        log_processor=dict(by_epoch=False),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", by_epoch=False)),
        search=dict(
            score=dict(type="pinas_mm.ProbeScore", topk=1),
            objectives=["accuracy/top1"],
            constraints=["params<=150k"],
            trials=8,
            dataloader=loader("val", "DefaultSampler"),
            calibration_dataloader=loader("train", "DefaultSampler"),
        ),
    )
    return Config(settings)


def whole_way(cfg: Config, data: Path, work_dir: Path) -> None:
    """Trains the supernet, searches it, exports the winner, trains a detector on the winner."""
    list(prepare(data, ["imagenet", "coco"], train=64, val=32))

    supernet = cfg.work_dir = f"{work_dir}/supernet"
    build_runner(cfg).train()
    cfg.work_dir = f"{work_dir}/search"
    run_search(cfg, supernet)

    found, winner = read_best(cfg.work_dir), f"{work_dir}/winner.pth"
    backbone = subnet_of(supernet, found.arch, found.space)
    write_subnet(winner, backbone, supernet, recompute_statistics(backbone, cfg))

    detector = get_config("mmdet::retinanet/retinanet_r50_fpn_1x_coco.py")
    # Neither architecture nor space: the file knows them.
    init_cfg = dict(type="Pretrained", checkpoint=winner)
    detector.model.backbone = dict(type="pinas_mm.PiNASBackbone", init_cfg=init_cfg)
    detector.model.neck.in_channels = list(found.space.out_channels)
    detector.train_dataloader.dataset.data_root = f"{data}/coco"
    detector.train_dataloader.dataset.pipeline[2].scale = (160, 128)
    # As few steps as the supernet's, and no validation.
    detector.train_dataloader.sampler = dict(type="InfiniteSampler")
    detector.train_cfg, detector.default_hooks = cfg.train_cfg, cfg.default_hooks
    detector.log_processor = cfg.log_processor
    detector.val_cfg = detector.val_dataloader = detector.val_evaluator = None
    detector.work_dir = f"{work_dir}/detector"
    build_runner(detector).train()


def parse_args() -> argparse.Namespace:
    """Where things go, and how long it takes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work-dir", type=Path, default="work_dirs/example")
    parser.add_argument("--data", type=Path, default="data/example", help="made where missing")
    parser.add_argument("--steps", type=int, default=20, help="of supernet and detector each")
    return parser.parse_args()


@command
def main() -> None:
    """The whole way."""
    args = parse_args()
    whole_way(config(args.data, args.steps), args.data, args.work_dir)


if __name__ == "__main__":
    main()
