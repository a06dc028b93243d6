"""A supernet in any library's model: trained, searched, its winner handed over and tested."""

import copy
import json
import sys
from pathlib import Path

import pytest
import torch
import whole_models  # noqa: F401  registers EveryNumber
from conftest import NAMES, REPOSITORY
from fragments import fragments
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from shrink import STEPS, narrow, random_supernet, random_weights, shrink
from tasks import LIBRARIES, write_library_task

from pinas_mm.commands.export import parse_args
from pinas_mm.engine import launch
from pinas_mm.engine.config import read_config
from pinas_mm.engine.run_export import run_export
from pinas_mm.engine.run_search import run_search
from pinas_mm.export.subnet import network_config
from pinas_mm.registry import MODELS
from pinas_mm.space import SearchSpace

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


@pytest.fixture
def export(monkeypatch):
    """Runs the tool's work in this process."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["export.py", *arguments])
        run_export(parse_args())

    return run


@pytest.mark.parametrize("name", [*sorted(OURS), *LIBRARIES])
def test_from_training_to_the_winners_own_test(name, folder, export):
    file = write_library_task(name, folder) if name in LIBRARIES else CONFIGS / name
    config = shrink(read_config(file), shortest=32)
    narrow(config.model)
    config.space = network_config(config).space
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
    # With the config that the search left.
    export("--best", "search", "--config", f"search/{file.name}", "--model-out", "winner")
    own = Config.fromfile("winner/winner.py")
    own.update(work_dir="test", experiment_name=next(NAMES))
    # To the last digit.
    assert Runner.from_cfg(own).test() == found[winner]


PAGE = [
    fragment
    for fragment in fragments(REPOSITORY / "docs" / "guides" / "detector.md")
    if fragment.title.endswith("_supernet.py")
]


@pytest.mark.parametrize("fragment", PAGE, ids=lambda fragment: fragment.title)
def test_the_guide_s_configs_are_handed_over_as_they_stand(fragment, folder, export):
    Path(fragment.title).write_text(fragment.text)
    config = read_config(fragment.title)
    init_default_scope(config.default_scope)
    with torch.device("meta"):
        state = MODELS.build(config.model).state_dict()
    # Weights of the paper's supernet without their memory.
    state = {key: torch.zeros((), dtype=v.dtype).expand(v.shape) for key, v in state.items()}
    torch.save(dict(state_dict=state), "epoch_1.pth")
    arch, space = "301-3231-203213-032", SearchSpace()
    found = dict(best=[dict(rank=1, arch=arch)], space=space.to_dict(), checkpoint="epoch_1.pth")
    Path("search").mkdir()
    Path("search/best.json").write_text(json.dumps(found))
    # Recomputed statistics, which take minutes at this size, are the other test's.
    from_the_search = ("--best", "search", "--config", fragment.title)
    export(*from_the_search, "--model-out", "winner", "--batches", "0")
    backbone = Config.fromfile("winner/winner.py").model.backbone
    assert backbone.arch == arch
    assert SearchSpace.build(backbone.space) == space
