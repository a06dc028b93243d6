"""A space of one's own, a class of one's own in it, goes the whole way.

6 candidates in 5 stages are trained both ways, searched, exported, and trained in an mmdet and in
an mmseg config.
"""

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from conftest import NAMES, REPOSITORY
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.runner import Runner
from torch import nn

from pinas_mm.engine import launch
from pinas_mm.engine.run_search import run_search
from pinas_mm.export import read_best, recompute_statistics, subnet_of, write_subnet
from pinas_mm.models import PiNASBackbone
from pinas_mm.models.cost import count_costs
from pinas_mm.operations import Operation
from pinas_mm.operations.norms import norm_layer
from pinas_mm.registry import OPERATIONS
from pinas_mm.space import SearchSpace
from pinas_mm.weights.checkpoint import find_checkpoint, read_checkpoint

pytestmark = pytest.mark.slow

STEPS, TRIALS, CLASSES = 2, 6, 10


class SideBySide(nn.Module):
    """Convolutions of several kernels side by side, their sum beside the shortcut."""

    def __init__(self, kernels, spec, shortcut, norm_cfg):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(
                spec.in_channels,
                spec.out_channels,
                kernel,
                spec.stride,
                padding=spec.dilation * (kernel // 2),
                dilation=spec.dilation,
                bias=False,
            )
            for kernel in kernels
        )
        self.norm = norm_layer(norm_cfg, spec.out_channels)
        self.shortcut = shortcut

    def zero_residual(self):
        nn.init.zeros_(self.norm.weight)

    def forward(self, x):
        out = self.norm(sum(conv(x) for conv in self.convs))
        return torch.relu(out + (x if self.shortcut is None else self.shortcut(x)))


@OPERATIONS.register_module()
@dataclasses.dataclass(frozen=True)
class Branches(Operation):
    kernels: tuple[int, ...] = (1, 3)

    def build(self, spec, shortcut, norm_cfg):
        return SideBySide(self.kernels, spec, shortcut, norm_cfg)

    @property
    def label(self) -> str:
        return "own " + "+".join(map(str, self.kernels))


OWN = 5
SPACE = dict(
    skeleton=dict(type="pinas_mm.PlainSkeleton", stem_width=8, stem_stride=2),
    candidates=[
        dict(type="pinas_mm.ResNetBottleneck", kernel=3),
        dict(type="pinas_mm.ResNetBottleneck", kernel=5),
        dict(type="pinas_mm.ResNetBottleneck", kernel=3, groups=0),
        dict(type="pinas_mm.InvertedResidual", expansion=2),
        dict(type="pinas_mm.Identity"),
        dict(type="Branches", kernels=(1, 3)),
    ],
    depths=(1, 2, 1, 1, 1),
    widths=(8, 8, 16, 16, 32),
    strides=(1, 2, 1, 2, 2),
    allowed={
        "layer1": [0, 3, 4, OWN],
        "layer2": [0, 1, 2, 3, 4, OWN],
        "layer2.0": [1, 2, OWN],
        "layer3": [1, 2],
        "layer4": [0, 2, 3, OWN],
        "layer5": [3, OWN],
    },
)
SUPERNET = dict(type="pinas_mm.PiNASSupernet", space=SPACE)


def test_each_block_has_the_candidates_that_are_allowed_and_fit():
    space = SearchSpace.build(SPACE)
    assert (space.num_candidates, len(space.depths)) == (6, 5)
    assert space.mask.astype(int).tolist() == [
        [1, 0, 0, 1, 1, 1],
        [0, 1, 1, 0, 0, 1],
        [1, 1, 1, 1, 1, 1],
        [0, 1, 1, 0, 0, 0],
        [1, 0, 1, 1, 0, 1],
        [0, 0, 0, 1, 0, 1],
    ]
    assert space.size == 4 * 3 * 6 * 2 * 4 * 2
    # best.json and a record keep it as JSON, a config as its own dicts and lists.
    for config in (json.loads(json.dumps(space.to_dict())), Config(dict(space=SPACE)).space):
        again = SearchSpace.build(config)
        assert again == space
        assert again.to_dict() == space.to_dict()
        assert hash(again.candidates[OWN]) == hash(Branches((1, 3)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def demo(layouts):
    """Reads a config of the demo on few digits: two steps, nothing validated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINAS_DATA", str(layouts))

        def read(name: str) -> Config:
            config = Config.fromfile(REPOSITORY / "configs" / "demo" / name)
            config.train_dataloader.batch_size = 2
            return short(config)

        yield read


def short(config: Config) -> Config:
    """Two steps of two images, nothing validated."""
    config.train_cfg = dict(by_epoch=False, max_iters=STEPS)
    config.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    config.train_dataloader.sampler = dict(type="InfiniteSampler")
    config.train_dataloader.pop("batch_sampler", None)
    config.default_hooks = dict(
        checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=STEPS)
    )
    config.param_scheduler = None
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    config.test_cfg = config.test_dataloader = config.test_evaluator = None
    config.experiment_name = next(NAMES)
    return config


def train(config: Config, work_dir: Path) -> Runner:
    config.work_dir = str(work_dir)
    runner = launch.build_runner(config)
    runner.train()
    assert runner.iter == STEPS
    assert math.isfinite(runner.message_hub.get_scalar("train/loss").current())
    stepped = runner.optim_wrapper.optimizer.state
    assert any(p in stepped for name, p in runner.model.named_parameters() if "backbone" in name)
    assert find_checkpoint(work_dir).name == f"iter_{STEPS}.pth"
    return runner


def test_it_is_trained_without_labels(demo, folder):
    config = demo("digits_supernet.py")
    config.model.backbone = SUPERNET
    config.model.neck.in_channels = 32
    runner = train(config, folder / "pinas")
    assert runner.model.head.pair.queue.isfinite().all()


@pytest.fixture(scope="module")
def labelled(demo, folder):
    """Trained with labels; the config, and the work dir as its checkpoint."""
    config = demo("digits_linear.py")
    config.model.freeze_backbone = False
    config.model.model.backbone = SUPERNET
    config.model.model.head.in_channels = 32
    calibration = dict(config.train_dataloader, sampler=dict(type="DefaultSampler", shuffle=False))
    config.search = dict(
        score=dict(type="pinas_mm.ProbeScore", topk=(1,)),
        objectives=["accuracy/top1"],
        trials=TRIALS,
        batch=2,
        sampler=dict(type="pinas_mm.PredictorSampler", startup=3),
        dataloader=calibration,
        calibration_dataloader=calibration,
        calibration_batches=2,
    )
    train(config, folder / "labelled")
    return config, folder / "labelled"


@pytest.fixture(scope="module")
def searched(labelled, folder):
    """The work dir of a search below the middle of all multiply-adds; findings and the bound."""
    config, checkpoint = labelled
    costs = count_costs(SearchSpace.build(SPACE), 32, CLASSES)
    low, high = (cost.macs for cost in costs.bounds())
    bound = (low + high) // 2
    config.work_dir, config.experiment_name = str(folder / "search"), next(NAMES)
    findings = run_search(config, str(checkpoint), dict(constraints=[f"macs<={bound}"]), [])
    return folder / "search", findings, bound


def test_the_search_keeps_the_budget_and_shows_the_users_operation(searched):
    work_dir, findings, bound = searched
    assert findings.states["complete"] == TRIALS
    best = json.loads((work_dir / "best.json").read_text())["best"]
    assert len(best) == TRIALS
    assert all(row["costs"]["macs"] <= bound for row in best)
    page = (work_dir / "search.html").read_text()
    labels = [candidate.label for candidate in SearchSpace.build(SPACE).candidates]
    assert labels[OWN] == "own 1+3"
    assert len(set(labels)) == 6
    for label in labels:
        assert label in page
    pictures = {path.stem: path.read_bytes() for path in (work_dir / "figures").glob("*.png")}
    assert set(pictures) == {"network", "progress", "costs", "choices"}
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())


@pytest.fixture(scope="module")
def winner(labelled, searched, folder):
    """The file of the best architecture in which the user's operation stands."""
    config, checkpoint = labelled
    work_dir, findings, _ = searched
    rank = next(n + 1 for n, found in enumerate(findings.best(TRIALS)) if OWN in found.arch)
    found = read_best(work_dir, rank)
    assert found.space == SearchSpace.build(SPACE)
    backbone = subnet_of(checkpoint, found.arch, found.space)
    used = recompute_statistics(backbone, config, batches=2)
    write_subnet(folder / "winner.pth", backbone, checkpoint, used)
    return folder / "winner.pth"


def test_the_winner_knows_itself_and_is_the_supernets_path(labelled, winner):
    written = read_checkpoint(winner)
    space = SearchSpace.build(written["meta"]["space"])
    assert space == SearchSpace.build(SPACE)
    arch = space.arch(written["meta"]["arch"])
    trained = read_checkpoint(labelled[1])["state_dict"]
    for number, spec in enumerate(space.blocks()):
        if arch[number] == OWN:
            name = f"{spec.name}.convs.1.weight"
            theirs = trained[f"backbone.{spec.name}.{OWN}.convs.1.weight"]
            assert torch.equal(written["state_dict"][name], theirs)
    # It fits a config that names the space, too.
    backbone = PiNASBackbone(arch, SPACE, init_cfg=dict(type="Pretrained", checkpoint=str(winner)))
    backbone.init_weights()
    assert {*backbone.state_dict()} == {*written["state_dict"]}


def as_backbone(winner: Path, **options) -> dict:
    """Neither architecture nor space: the file knows them."""
    init_cfg = dict(type="Pretrained", checkpoint=str(winner))
    return dict(type="pinas_mm.PiNASBackbone", init_cfg=init_cfg, **options)


def check_transferred(runner: Runner, winner: Path) -> None:
    """The checkpoint has the winner's backbone, and says which it is."""
    written, exported = read_checkpoint(runner.work_dir), read_checkpoint(winner)
    backbone = {k for k in written["state_dict"] if k.startswith("backbone.")}
    assert backbone == {f"backbone.{name}" for name in exported["state_dict"]}
    assert written["meta"]["arch"] == exported["meta"]["arch"]
    assert written["meta"]["space"] == exported["meta"]["space"]


def test_mmdets_retinanet_trains_on_it(winner, layouts, folder):
    config = get_config("mmdet::retinanet/retinanet_r50_fpn_1x_coco.py")
    # Of the stages those of strides 4, 8 and 16; the first is kept, as mmdet keeps ResNet's.
    config.model.backbone = as_backbone(winner, out_indices=(2, 3, 4), frozen_stages=1)
    config.model.neck = dict(type="FPN", in_channels=[16, 16, 32], out_channels=32, num_outs=3)
    config.model.bbox_head.update(in_channels=32, feat_channels=32, stacked_convs=1)
    config.model.bbox_head.anchor_generator.strides = [4, 8, 16]
    config.train_dataloader.dataset.data_root = str(layouts / "coco")
    config.train_dataloader.dataset.pipeline[2].scale = (160, 128)
    runner = train(short(config), folder / "retinanet")
    check_transferred(runner, winner)
    trained, exported = runner.model.backbone.state_dict(), read_checkpoint(winner)["state_dict"]
    for name, value in exported.items():
        if name.startswith(("stem", "layer1")):
            assert torch.equal(trained[name], value), name


def test_mmsegs_fcn_trains_on_it(winner, layouts, folder):
    config = get_config("mmseg::fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py")
    size = (64, 64)
    config.model.pretrained = None
    config.model.data_preprocessor.size = size
    # Output stride 8, as FCN has it.
    config.model.backbone = as_backbone(winner, strides=(1, 2, 1, 2, 1), dilations=(1, 1, 1, 1, 2))
    config.model.decode_head.update(in_channels=32, in_index=4, channels=16)
    config.model.auxiliary_head.update(in_channels=16, in_index=3, channels=16)
    dataset = config.train_dataloader.dataset
    dataset.data_root = str(layouts / "ADEChallengeData2016")
    dataset.pipeline[2].scale = size
    dataset.pipeline[3].crop_size = size
    runner = train(short(config), folder / "fcn")
    check_transferred(runner, winner)
