"""Images as users have them: a flat folder, odd names, any number of channels, no labels."""

import numpy as np
import pytest
import torch
from conftest import CONFIGS, NAMES
from PIL import Image

pytestmark = pytest.mark.slow

MODES = {1: ("L", "grayscale"), 4: ("RGBA", "unchanged")}


@pytest.fixture
def photos(tmp_path):
    """Makes a flat folder with eight images of 1 or 4 channels, and hidden ones of nothing."""

    def make(channels):
        folder = tmp_path / "my photos, ą"
        (folder / ".ipynb_checkpoints").mkdir(parents=True)
        (folder / ".ipynb_checkpoints" / "0-checkpoint.png").touch()
        random = np.random.default_rng(0)
        for number in range(8):
            pixels = random.integers(0, 256, (32, 32, channels), dtype=np.uint8).squeeze()
            Image.fromarray(pixels, MODES[channels][0]).save(folder / f"zdjęcie {number}.png")
        return folder

    return make


@pytest.fixture
def config(tmp_path):
    """Writes a small config for images of 1 or 4 channels in a folder."""

    def write(base, folder, channels):
        values = [100.0] * channels
        loader = f"""dict(dataset=dict(
            data_root={str(folder)!r}, split=None,
            pipeline=[dict(type="pinas_mm.LoadImage", color_type={MODES[channels][1]!r}),
                      dict(type="PackInputs")]))"""
        path = tmp_path / f"{channels}_{base}"
        path.write_text(f"""
_base_ = [{str(CONFIGS / base)!r}]
experiment_name = {next(NAMES)!r}
model = dict(
    data_preprocessor=dict(mean={values}, std={values}),
    backbone=dict(in_channels={channels}),
)
train_dataloader = {loader}
val_dataloader = {loader}
test_dataloader = {loader}
train_cfg = dict(max_epochs=1, val_interval=1)
""")
        if "search" in base:
            path.write_text(
                path.read_text()
                + f"search = dict(trials=2, dataloader={loader}, calibration_dataloader={loader})\n"
            )
        return path

    return write


@pytest.fixture
def pretrain(tool, photos, config, tmp_path):
    """Trains for an epoch on images of some channels; returns the folder and the work dir."""

    def run(channels):
        folder, work = photos(channels), tmp_path / "work"
        path = config("small_supernet.py", folder, channels)
        status, out, err = tool("train.py", path, "--work-dir", work)
        assert status == 0, err or out
        state = torch.load(work / "epoch_1.pth")["state_dict"]
        assert state["backbone.conv1.0.weight"].shape[1] == channels
        return folder, work

    return run


def test_pretraining_and_search_without_labels(tool, pretrain, config, tmp_path):
    folder, work = pretrain(4)
    path = config("small_search_label_free.py", folder, 4)
    status, out, err = tool("search.py", path, work, "--work-dir", tmp_path / "search")
    assert status == 0, err or out
    assert (tmp_path / "search" / "best.txt").exists()


def test_pretraining_on_gray_images_and_transfer_to_colors(train, pretrain, tmp_path):
    _, work = pretrain(1)
    options = {
        "model.backbone.init_cfg.type": "pinas_mm.FromSupernet",
        "model.backbone.init_cfg.checkpoint": work,
        "model.backbone.init_cfg.channels": "repeat",
        "train_cfg.max_epochs": 1,
    }
    rows = train("small_classifier.py", tmp_path / "transfer", options=options)
    assert len(rows) == 4
    state = torch.load(tmp_path / "transfer" / "epoch_1.pth")["state_dict"]
    assert state["backbone.conv1.0.weight"].shape[1] == 3
