"""The demo's transfer, from a searched winner to metrics and pictures."""

import io
import json

import matplotlib.image
import pytest
import torch
from conftest import NAMES
from mmengine.config import Config
from rich.console import Console

from pinas_mm.data.digits import prepare
from pinas_mm.demo import pictures, report, transfer
from pinas_mm.model_index import REPOSITORY
from pinas_mm.models import PiNASBackbone

ARCH = "02-13-24"
BOTH = transfer.PRETRAINED, transfer.RANDOM
METRICS = {"box_ap", "box_ap50", "mask_ap", "mask_ap50", "ade20k_miou", "cityscapes_miou"}


def searched(folder):
    """A seed's folder after its search and export."""
    (folder / "search").mkdir(parents=True)
    (folder / "search" / "best.txt").write_text(f"{ARCH}\n")
    space = Config.fromfile(REPOSITORY / "configs/demo/digits_data.py").demo_space
    backbone = PiNASBackbone(ARCH, space.to_dict())
    backbone.init_weights()
    torch.save(dict(state_dict=backbone.state_dict()), folder / "winner.pth")
    return folder


def write_log(work_dir, **metrics):
    file = work_dir / "20260101_000000" / "vis_data" / "scalars.json"
    file.parent.mkdir(parents=True)
    rows = dict(loss=1.0, step=400), dict(metrics, step=400)
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A data folder with 8 + 4 images in the layouts of COCO, ADE20K and Cityscapes."""
    folder = tmp_path_factory.mktemp("scenes")
    list(prepare(folder, ["coco", "ade20k", "cityscapes"], train=8, val=4))
    return folder


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Folders of two seeds, searched."""
    return {s: searched(tmp_path_factory.mktemp("demo") / f"seed{s}") for s in (3, 5)}


@pytest.fixture(scope="module")
def jobs(seeds):
    """The trainings of two seeds, from the winner's weights and from random ones in turn."""
    return transfer.trainings(seeds, BOTH)


def test_the_winner_is_trained_in_each_task(jobs, seeds):
    trained = jobs[::2]
    assert [job.name for job in trained] == [
        f"{task}, seed {seed}"
        for task in ("mask rcnn", "deeplabv3 ade20k", "deeplabv3 cityscapes")
        for seed in seeds
    ]
    for job, seed in zip(trained, [*seeds] * 3, strict=True):
        assert f"randomness.seed={seed}" in job.command
        assert f"model.backbone.arch={ARCH}" in job.command
        weights = seeds[seed] / "winner.pth"
        assert f"model.backbone.init_cfg.checkpoint={weights}" in job.command
        assert job.work_dir.parent == seeds[seed] / "transfer"
        config = Config.fromfile(REPOSITORY / job.command[1])
        assert job.total == config.train_cfg.max_iters >= 100


def test_random_weights_differ_in_nothing_else(jobs):
    assert len({job.work_dir for job in jobs}) == len(jobs) == 12
    for trained, random in zip(jobs[::2], jobs[1::2], strict=True):
        assert random.name == trained.name.replace(", ", ", random, ")
        assert set(random.command) - set(trained.command) == {str(random.work_dir)}
        only_trained = set(trained.command) - set(random.command) - {str(trained.work_dir)}
        assert len(only_trained) == 2
        assert all(word.startswith("model.backbone.init_cfg.") for word in only_trained)


def test_findings_are_percentages_of_each_kind(tmp_path):
    coco = dict.fromkeys(("bbox_mAP", "bbox_mAP_50", "segm_mAP", "segm_mAP_50"), 0.25)
    logs = {"mask_rcnn": {f"coco/{key}": value for key, value in coco.items()}}
    logs |= {"deeplabv3_ade20k": dict(mIoU=50.0), "deeplabv3_cityscapes": dict(mIoU=60.0)}
    for name, metrics in logs.items():
        write_log(tmp_path / "transfer" / name, **metrics)
        write_log(
            tmp_path / "transfer" / f"{name}_random", **{k: v / 2 for k, v in metrics.items()}
        )
    found = transfer.findings(tmp_path, BOTH)
    expected = dict.fromkeys(METRICS, 25.0) | dict(ade20k_miou=50.0, cityscapes_miou=60.0)
    assert found[transfer.PRETRAINED] == expected
    assert found[transfer.RANDOM] == {name: value / 2 for name, value in expected.items()}

    assert {key for key, *_ in report.TRANSFER_ROWS} < METRICS
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(report.table(report.mean_findings([found, found]), "t", report.TRANSFER_ROWS))
    shown = console.export_text()
    assert "pre-trained" in shown
    assert "random weights" in shown
    (line,) = (line for line in shown.splitlines() if "Cityscapes layout, mIoU" in line)
    assert "60.0" in line
    assert "30.0" in line


def test_from_the_winner_to_metrics_and_pictures(jobs, seeds, tmp_path, tool, scenes, monkeypatch):
    monkeypatch.setenv("PINAS_DATA", str(scenes))
    for job in jobs[::4]:
        name = next(NAMES)
        short = ("train_cfg.max_iters=2", f"experiment_name={name}", f"visualizer.name={name}")
        status, out, err = tool(job.command[0].removeprefix("tools/"), *job.command[1:], *short)
        assert status == 0, err or out
        assert job.completed() == 2
    found = transfer.findings(seeds[3], [transfer.PRETRAINED])
    assert set(found[transfer.PRETRAINED]) == METRICS
    assert all(0 <= value <= 100 for value in found[transfer.PRETRAINED].values())

    monkeypatch.setattr(transfer, "PICTURES", 2)
    drawn = transfer.draw(seeds[3])
    sizes = {
        title: [matplotlib.image.imread(f).shape for f in files] for title, files in drawn.items()
    }
    widths = 160, 128, 256
    # Truth and prediction side by side, enlarged.
    assert list(sizes.values()) == [
        [(128 * pictures.SCALE, 2 * width * pictures.SCALE, 3)] * 2 for width in widths
    ]
    pictures.contact_sheet(drawn, tmp_path / "transfer.png")
    sheet = matplotlib.image.imread(tmp_path / "transfer.png")
    assert sheet.shape[1] > 1000
    # Rows of pictures are no white page.
    assert (sheet[..., :3].min(axis=-1) < 0.9).mean() > 0.5
