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

from pinas_mm.export.subnet import network_config
from pinas_mm.weights.checkpoint import read_checkpoint


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
    tool = Path(library.__file__).parent / ".mim" / "tools" / "train.py"
    done = subprocess.run(
        [sys.executable, str(tool), str(tmp_path / "config.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("SyncBN needs one, its layers are plain BN here") == 1
    assert all(metric in done.stdout for metric in metrics)
    assert read_checkpoint(tmp_path / "work")["meta"]["iter"] == 2
    for checkpoint in tmp_path.rglob("*.pth"):
        checkpoint.unlink()
