"""The demo's winner and random architectures of its cost, trained alone."""

import json

import numpy as np
import pytest
from mmengine.config import Config

from pinas_mm.demo import alone
from pinas_mm.model_index import REPOSITORY
from pinas_mm.models.cost import count_costs
from pinas_mm.space import SearchSpace

WINNER = "02-23-22"


@pytest.fixture
def folder(tmp_path):
    """A seed's folder after its search."""
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "best.txt").write_text(f"{WINNER}\n")
    return tmp_path


def test_random_ones_cost_what_the_winner_costs(folder):
    jobs = alone.trainings(folder, seed=3)
    archs = [job.work_dir.name for job in jobs]
    assert archs[0] == WINNER
    assert len(set(archs)) == len(archs) == 1 + alone.RANDOM
    space = Config.fromfile(REPOSITORY / "configs/demo/digits_data.py").demo_space.to_dict()
    costs = count_costs(SearchSpace.build(space), alone.SIDE)
    macs = np.array([costs.cost(arch).macs for arch in archs])
    assert np.abs(macs / macs[0] - 1).max() <= alone.NEAR
    for job in jobs:
        assert f"model.backbone.arch={job.work_dir.name}" in job.command
        assert "randomness.seed=3" in job.command
    assert [job.work_dir for job in alone.trainings(folder, seed=3)] == [j.work_dir for j in jobs]
    assert {job.work_dir for job in alone.trainings(folder, seed=4)} != {j.work_dir for j in jobs}


def test_a_winner_of_a_cost_of_its_own_gets_the_nearest(folder, monkeypatch):
    monkeypatch.setattr(alone, "NEAR", 0.0)
    assert len(alone.trainings(folder, seed=3)) == 1 + alone.RANDOM


def test_what_the_logs_say(folder):
    jobs = alone.trainings(folder, seed=3)
    for number, job in enumerate(jobs):
        file = job.work_dir / "20260101_000000" / "vis_data" / "scalars.json"
        file.parent.mkdir(parents=True)
        rows = dict(loss=1.0, step=10), {"accuracy/top1": 90.0 - number, "step": 10}
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = alone.findings(folder, seed=3)
    values = 90 - np.arange(1, 17)
    assert (found["winner"], found["top1"]) == (WINNER, 90)
    assert list(found["random"].values()) == values.tolist()
    assert found["mean"] == pytest.approx(values.mean())
    assert found["error"] == pytest.approx(values.std(ddof=1) / 16**0.5)
    text = alone.text({"3": found})
    assert "the winner, 02-23-22, has top-1 90.0 %, 16 random" in text
    assert text.endswith("standard error 1.2: it gains 8.5")
    both = {"3": found, "4": found | dict(top1=92)}
    assert alone.text(both).endswith("winners gain 9.5, standard error 1.0")
    (axis,) = alone.draw(both).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["seed 3", "seed 4"]
    shown = [set(line.get_xdata()) for line in axis.lines]
    assert all(points in shown for points in ({90}, {92}, set(values)))
