"""What ``mim train mmdet`` and ``mim train mmsegmentation`` run takes our configs as they are."""

import os
import subprocess
import sys
from pathlib import Path

import mmdet
import mmseg
import pytest
from conftest import REPOSITORY
from mmengine.config import Config
from shrink import random_weights, shrink
from tasks import trained, write_task

from pinas_mm.engine.config import read_config
from pinas_mm.export import hand_over
from pinas_mm.export.subnet import network_config
from pinas_mm.weights.checkpoint import read_checkpoint


def run_tool(library, name, *arguments, cwd):
    """Runs a library's tool as mim does."""
    tool = Path(library.__file__).parent / ".mim" / "tools" / name
    done = subprocess.run(
        [sys.executable, str(tool), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(
    ("library", "name", "metrics"),
    [
        (
            mmdet,
            "coco/mask-rcnn_pinas-trans_fpn_syncbn_ms-90k_coco.py",
            ("coco/bbox_mAP", "coco/segm_mAP"),
        ),
        (
            mmdet,
            "coco/fcos_pinas-supernet_fpn_syncbn_ms-90k_coco.py",
            ("coco/bbox_mAP", "coco/bbox_mAP_std"),
        ),
        (
            mmseg,
            "ade20k/deeplabv3_pinas-trans-d8_4xb4-160k_ade20k-480x480.py",
            ("mIoU", "aAcc"),
        ),
    ],
    ids=["mmdet", "mmdet supernet", "mmseg"],
)
def test_training_and_evaluation(library, name, metrics, layouts, monkeypatch, tmp_path):
    monkeypatch.setenv("PINAS_DATA", str(layouts))
    config = shrink(Config.fromfile(REPOSITORY / "configs" / name))
    network_config(config).pop("init_cfg", None)
    config.work_dir = str(tmp_path / "work")
    config.load_from = random_weights(config, tmp_path / "start.pth")
    config.dump(tmp_path / "config.py")
    done = run_tool(library, "train.py", tmp_path / "config.py", cwd=tmp_path)
    assert done.stdout.count("SyncBN needs one, its layers are plain BN here") == 1
    assert all(metric in done.stdout for metric in metrics)
    assert read_checkpoint(tmp_path / "work")["meta"]["iter"] == 2
    for checkpoint in tmp_path.rglob("*.pth"):
        checkpoint.unlink()


@pytest.mark.parametrize(
    ("library", "name", "metric"),
    [(mmdet, "fcos", "coco/bbox_mAP:"), (mmseg, "deeplabv3", "mIoU:")],
    ids=["mmdet", "mmseg"],
)
def test_a_model_that_was_handed_over(library, name, metric, layouts, monkeypatch, tmp_path):
    monkeypatch.setenv("PINAS_DATA", str(layouts))
    cfg = read_config(write_task(name, tmp_path))
    trained(cfg, tmp_path / "epoch_1.pth")
    handed = hand_over(tmp_path / "winner", tmp_path / "epoch_1.pth", cfg, "12-30-12", 1)
    done = run_tool(library, "test.py", handed.config, handed.weights, cwd=tmp_path)
    assert metric in done.stdout
