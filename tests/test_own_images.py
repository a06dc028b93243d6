"""Images as users have them: a flat folder, odd names, any number of channels, no labels."""

import html
import json
import re
import shlex

import numpy as np
import pytest
import torch
from conftest import CONFIGS, NAMES, REPOSITORY
from PIL import Image

from pinas_mm.engine.config import read_config

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


CLASSES = "cats", "dogs"
# A network that is small, for images of any size, and the shortest training.
TINY = {
    "space.depths": "(1,1,1,1)",
    "space.widths": "(16,16,16,16)",
    "space.stem_widths": "(4,4,8)",
    "train_dataloader.batch_size": 4,
    "train_dataloader.num_workers": 0,
    "val_dataloader.num_workers": 0,
    "train_cfg.max_epochs": 1,
    "train_cfg.val_interval": 1,
}
UNLABELLED = {
    "model.neck.in_channels": 64,
    "model.neck.hid_channels": 16,
    "model.neck.out_channels": 16,
    "model.head.pair.dim": 16,
    "model.head.pair.queue_size": 16,
}
LABELLED = {
    "model.model.head.in_channels": 64,
    "val_cfg.calibration_dataloader.batch_size": 4,
    "val_cfg.calibration_dataloader.num_workers": 0,
    "val_cfg.num_archs": 2,
}


@pytest.fixture
def own(tmp_path):
    """Makes a folder of 20 photographs, flat or with a folder for each class."""

    def make(flat):
        root = tmp_path / "my images"
        random = np.random.default_rng(0)
        for number in range(20):
            folder = root if flat else root / CLASSES[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.jpg")
        return root

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flat", "options", "metric"),
    [
        ("unlabelled", True, UNLABELLED, "cross_path/score"),
        ("unlabelled", False, UNLABELLED, "cross_path/score"),
        ("labelled", False, LABELLED, "accuracy/top1"),
    ],
    ids=["flat", "class folders without their labels", "class folders"],
)
def test_configs_for_own_images_go_the_whole_way(
    tool, own, monkeypatch, tmp_path, name, flat, options, metric
):
    monkeypatch.setenv("PINAS_DATA", str(own(flat)))
    monkeypatch.chdir(tmp_path)
    config = REPOSITORY / "configs" / "own" / f"{name}.py"
    small = {**TINY, **options, "experiment_name": next(NAMES)}
    small = ["--cfg-options", *(f"{key}={value}" for key, value in small.items())]

    def run(*command):
        status, out, err = tool(*command)
        assert status == 0, err or out
        return out

    run("train.py", config, *small)
    training = tmp_path / "work_dirs" / name
    # 18 are trained on: the others are held out.
    assert torch.load(training / "epoch_1.pth", weights_only=True)["meta"]["iter"] == 4
    search = tmp_path / "work_dirs" / "own"
    run("search.py", config, training, "--work-dir", search, "--trials", 2, *small)
    best = json.loads((search / "best.json").read_text())["best"]
    assert [metric in row["metrics"] for row in best] == [True] * 2
    # What the page says to run.
    page = html.unescape((search / "search.html").read_text())
    (command,) = re.findall("<pre>python tools/(export.py .*)</pre>", page)
    assert f"--calibrate work_dirs/own/{name}.py" in command
    out = run(*shlex.split(command))
    assert "at 224 x 224" in out
    winner = torch.load("best.pth", weights_only=True)
    assert winner["meta"]["arch"] == best[0]["arch"]
    assert winner["meta"]["calibration_batches"] == 4


def test_classes_are_counted(own, monkeypatch):
    root = own(False)
    (root / ".ipynb_checkpoints").mkdir()
    monkeypatch.setenv("PINAS_DATA", str(root))
    cfg = read_config(REPOSITORY / "configs" / "own" / "labelled.py")
    assert cfg.model.model.head.num_classes == 2
    assert not set(cfg) & {"os", "folders", "part"}


@pytest.mark.parametrize("name", ["unlabelled", "labelled"])
def test_a_folder_that_is_not_there_is_named(tool, monkeypatch, tmp_path, name):
    monkeypatch.setenv("PINAS_DATA", str(tmp_path / "gone"))
    config = REPOSITORY / "configs" / "own" / f"{name}.py"
    status, _, err = tool("train.py", config, "--work-dir", tmp_path / "work")
    assert status == 2
    assert f"data root {tmp_path / 'gone'} of the train set is missing or empty: set PINAS" in err
