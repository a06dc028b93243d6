"""The shifts are logged during training, which does not notice."""

import json

import pytest
import torch
from conftest import NAMES, logged

from pinas_mm.engine import ShiftHook
from pinas_mm.engine.hooks.shift import training_batches
from pinas_mm.errors import UserError
from pinas_mm.registry import HOOKS

EIGHT = dict(images=8, pairs=1)


@pytest.fixture
def run(runner, tmp_path):
    """Trains two epochs of four steps with a hook or without; returns work dir and weights."""

    def train(hook, name="small_supernet.py", **options):
        work_dir = tmp_path / next(NAMES)
        built = runner(name, **{"train_cfg.max_epochs": 2, "work_dir": str(work_dir), **options})
        if hook is not None:
            built.register_hook(hook)
        built.train()
        return work_dir, built.model.state_dict()

    return train


def shift_rows(work_dir):
    file = max(work_dir.glob("*/vis_data/scalars.json"))
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [row for row in rows if "shift/time_share" in row]


def test_shifts_are_logged_and_the_training_does_not_notice(run):
    watched, weights = run(HOOKS.build(dict(type="pinas_mm.ShiftHook", interval=3, **EIGHT)))
    plain, others = run(None)
    # Equal bit for bit.
    losses = [[row["loss"] for row in logged(folder)] for folder in (watched, plain)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 8
    assert all(torch.equal(weights[name], others[name]) for name in others)
    rows = shift_rows(watched)
    assert [row["step"] for row in rows] == [3, 6]
    for row in rows:
        assert 0 < row["shift/time_share"] < 1
        assert row["shift/parameter/cosine/layer2.0"] > 0
        assert row["shift/parameter/motion"] > 0
        # Paths start alike, and part as they learn; before the first choice nothing shifts.
        assert row["shift/feature/cosine/output"] > 0
        assert "shift/feature/cosine/layer1.0" not in row
    assert rows[0]["shift/feature/l2"] != rows[1]["shift/feature/l2"]
    text = next(watched.glob("*/*.log")).read_text()
    assert "shifts after iteration 6: feature/cosine" in text
    assert "% of the time so far" in text


def test_what_is_measured_of_a_checkpoint_is_what_was_logged(run, tool, tmp_path):
    folder, _ = run(ShiftHook(interval=4, seed=5, **EIGHT))
    out, figure = tmp_path / "shift.json", tmp_path / "shift.png"
    settings = ("--images", 8, "--pairs", 1, "--seed", 5, "--out", out, "--figure", figure)
    config = next(folder.glob("*.py"))
    name = ("--cfg-options", f"experiment_name={next(NAMES)}")
    status, printed, err = tool("measure_shift.py", config, folder, *settings, *name)
    assert status == 0, err
    found, row = json.loads(out.read_text()), shift_rows(folder)[-1]
    assert (found["images"], found["pairs"], found["seed"]) == (8, 1, 5)
    for name, value in found["overall"].items():
        assert value == pytest.approx(row[f"shift/{name}"], rel=1e-4)
    place = found["places"]["layer2.0"]["parameter/conflict"]
    assert place["mean"] == pytest.approx(row["shift/parameter/conflict/layer2.0"], rel=1e-4)
    assert place["comparisons"] == 1
    rows = [line.split() for line in printed.splitlines() if "│ layer" in line]
    table = {cells[1]: cells for cells in rows}
    assert list(table) == ["layer1.0", "layer1.1", "layer2.0"]
    assert f"{place['mean']:.4f}" in table["layer2.0"]
    assert table["layer1.0"][3] == "-"
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (dict(interval=0), "ShiftHook's interval is 0"),
        (dict(images=3), "images 3, pairs 4: shifts need at least 4 images"),
        (dict(pairs=0), "images 32, pairs 0"),
        (dict(seed=2**32), "seed is 4294967296"),
    ],
)
def test_settings_out_of_range(settings, fault):
    with pytest.raises(UserError, match=fault):
        ShiftHook(**settings)


def test_a_network_that_is_no_supernet_has_no_shifts(run):
    with pytest.raises(UserError, match="the config's model is a ImageClassifier: give a pinas_mm"):
        run(ShiftHook(**EIGHT), "small_classifier.py")


def test_a_config_without_training_images():
    with pytest.raises(UserError, match="the config has no train_dataloader, of whose images"):
        training_batches({}, 8, 0)
