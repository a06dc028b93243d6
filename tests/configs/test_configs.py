"""Every config under configs/ is loaded, built, trained two iterations and evaluated on digits."""

import math
import re
from pathlib import Path

import pytest
from conftest import NAMES, REPOSITORY
from mmengine.config import Config
from shrink import STEPS, random_supernet, random_weights, shrink

from pinas_mm.engine import launch
from pinas_mm.engine.config import read_config
from pinas_mm.engine.run_search import run_search
from pinas_mm.export.subnet import network_config
from pinas_mm.registry import dicts

CONFIGS = REPOSITORY / "configs"
FILES = [path for path in sorted(CONFIGS.rglob("*.py")) if path.parent.name != "_base_"]
# What sets none of these is a part that others inherit.
SETTINGS = re.compile(r"^(model|search|train_cfg) = ", re.MULTILINE)
CONFIG_FILES = [path for path in FILES if SETTINGS.search(path.read_text())]
# What tests/test_any_task.py runs.
TASKS = [path for path in CONFIG_FILES if "_pinas-supernet" in path.name]
# One metric of each evaluator; supernets without labels are evaluated by their loop.
METRICS = dict(
    Accuracy="accuracy/top1", CocoMetric="coco/bbox_mAP", IoUMetric="mIoU", none="retrieval/top1"
)


@pytest.fixture
def load(layouts, monkeypatch, tmp_path):
    """Loads a config as it is, but for its data root, image size, batch and length."""
    monkeypatch.setenv("PINAS_DATA", str(layouts))

    def read(name: str) -> Config:
        config = shrink(read_config(CONFIGS / name))
        loaders = [d for d in dicts(config._cfg_dict) if d.get("type") == "LoadImageFromFile"]
        assert all(loader["_scope_"] == "pinas_mm" for loader in loaders)
        config.update(work_dir=str(tmp_path / "work"), experiment_name=next(NAMES))
        return config

    return read


def test_what_is_left_out_is_a_part_of_others():
    for part in set(FILES) - set(CONFIG_FILES):
        assert any(f'"{part.name}"' in path.read_text() for path in part.parent.glob("*.py")), part


def test_what_a_config_starts_from_is_written_by_another():
    written = {f"work_dirs/{path.stem}": path for path in CONFIG_FILES}
    read = {}
    for path in CONFIG_FILES:
        network = network_config(read_config(path))
        if (network.get("init_cfg") or {}).get("type") == "pinas_mm.FromSupernet":
            read[path] = network
    assert read
    for path, network in read.items():
        source = network_config(read_config(written[network.init_cfg.checkpoint]))
        # Weights of another space are refused; strides are no weights.
        for space in (network.space, source.space):
            space.pop("strides", None)
        assert network.space == source.space, path


@pytest.mark.parametrize(
    "name", [str(path.relative_to(CONFIGS)) for path in CONFIG_FILES if path not in TASKS]
)
def test_config(name, load, tmp_path):
    config = load(name)
    random_supernet(config, tmp_path / "supernet.pth")
    if "search" in config:
        findings = run_search(config, random_weights(config, tmp_path / "model.pth"), {}, [])
        assert len(findings.best()) == config.search.trials
    else:
        train_and_evaluate(config, tmp_path)
    for checkpoint in tmp_path.rglob("*.pth"):
        checkpoint.unlink()


def train_and_evaluate(config: Config, folder: Path) -> None:
    if config.default_scope == "mmdet":
        config.load_from = random_weights(config, folder / "start.pth")
    runner = launch.build_runner(config)
    runner.train()
    assert runner.iter >= STEPS
    logged = {name: buffer.current() for name, buffer in runner.message_hub.log_scalars.items()}
    assert math.isfinite(logged["train/loss"])
    kind = (config.val_evaluator or dict(type="none"))["type"]
    assert math.isfinite(logged[f"val/{METRICS[kind]}"])
