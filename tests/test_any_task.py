"""A supernet in any library's model: trained, searched, its winner handed over and tested."""

import copy
from pathlib import Path

import pytest
import whole_models  # noqa: F401  registers EveryNumber
from conftest import NAMES, REPOSITORY
from mmengine.config import Config
from mmengine.runner import Runner
from shrink import STEPS, narrow, random_supernet, random_weights, shrink
from tasks import LIBRARIES, write_library_task

from pinas_mm.engine import launch
from pinas_mm.engine.config import read_config
from pinas_mm.engine.run_search import run_search
from pinas_mm.export import hand_over

pytestmark = pytest.mark.slow

CONFIGS = REPOSITORY / "configs"
# With their trainings: what they inherit is the config of one.
OURS = [str(p.relative_to(CONFIGS)) for p in CONFIGS.glob("*/*pinas-supernet*_search.py")]


@pytest.fixture
def folder(layouts, monkeypatch, tmp_path):
    """The current folder: images of digits lie where each library's configs look for theirs."""
    monkeypatch.setenv("PINAS_DATA", str(layouts))
    monkeypatch.chdir(tmp_path)
    Path("data/ade").mkdir(parents=True)
    for layout in layouts.iterdir():
        Path("data/ade" if layout.name.startswith("ADE") else "data", layout.name).symlink_to(
            layout
        )
    return tmp_path


@pytest.mark.parametrize("name", [*sorted(OURS), *LIBRARIES])
def test_from_training_to_the_winners_own_test(name, folder):
    file = write_library_task(name, folder) if name in LIBRARIES else CONFIGS / name
    config = shrink(read_config(file), shortest=32)
    narrow(config.model)
    config.search.trials = 3
    # The winner is tested on what it was searched on. Sums of all numbers show what rounded metrics
    # hide.
    metrics = [config.val_evaluator, dict(type="pinas_mm.EveryNumber")]
    config.search.score.metrics = config.test_evaluator = metrics
    config.test_dataloader = config.val_dataloader

    def run(work_dir, **changes):
        ran = copy.deepcopy(config)
        ran.update(work_dir=work_dir, experiment_name=next(NAMES), **changes)
        ran.randomness = dict(seed=0)
        return ran

    random_supernet(config, folder / "supernet.pth")
    start = random_weights(config, folder / "start.pth")
    runner = launch.build_runner(run("training", load_from=start))
    runner.train()
    assert runner.iter == STEPS
    findings = run_search(run("search"), "training")
    found = {evaluated.arch: evaluated.metrics for evaluated in findings.evaluated}
    assert len({str(metrics) for metrics in found.values()}) == 3
    winner = findings.best()[0].arch
    handed = hand_over("winner", "training", config, winner)
    own = Config.fromfile(handed.config)
    own.update(work_dir="test", experiment_name=next(NAMES))
    # To the last digit.
    assert Runner.from_cfg(own).test() == found[winner]
