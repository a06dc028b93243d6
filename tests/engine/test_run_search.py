"""A search takes weights as they are drawn, where it is asked for ``untrained``."""

import pytest
import torch
from conftest import CONFIGS, NAMES
from mmengine.config import Config

from pinas_mm.engine.run_search import evaluate
from pinas_mm.weights.digest import weights_digest

ARCHS = ["00-0", "32-1", "32-0"]


@pytest.fixture
def untrained(digits, monkeypatch, tmp_path):
    """Scores architectures of a small config's model without training: the model, the values."""
    monkeypatch.setenv("PINAS_DATA", str(digits))

    def run(config, score, name, seed=0, **changes):
        cfg = Config.fromfile(CONFIGS / config)
        cfg.merge_from_dict({"work_dir": str(tmp_path), "search.seed": seed, **changes})
        cfg.search.score, cfg.search.objectives = score, [name]
        cfg.experiment_name = next(NAMES)
        evaluator, _, found = evaluate(cfg, "untrained", ARCHS)
        return evaluator.score.model, [metrics[name] for metrics in found]

    return run


@pytest.mark.parametrize("config", ["small_search.py", "small_search_label_free.py"])
def test_weights_are_the_seeds_and_paths_differ_as_stand_alone_networks_do(untrained, config):
    score = dict(type="pinas_mm.NASWOTScore", images=8)
    model, found = untrained(config, score, "zero_cost/naswot")
    assert len(set(found)) == len(ARCHS)
    # As their shortcuts alone, which a supernet's training begins with, all blocks gave the same.
    scales = [p for name, p in model.backbone.named_parameters() if name.endswith("bn3.weight")]
    assert all(torch.equal(scale, torch.ones_like(scale)) for scale in scales)
    torch.rand(7)
    again, repeated = untrained(config, score, "zero_cost/naswot")
    assert (weights_digest(again), repeated) == (weights_digest(model), found)
    other, differing = untrained(config, score, "zero_cost/naswot", seed=1)
    assert weights_digest(other) != weights_digest(model)
    assert differing != found


def test_a_folder_of_that_name_is_not_meant_and_this_is_said(
    untrained, tmp_path, monkeypatch, printed
):
    monkeypatch.chdir(tmp_path)
    score = dict(type="pinas_mm.CostScore")
    untrained("small_search.py", score, "zero_cost/macs")
    assert "./untrained" not in printed()
    (tmp_path / "untrained").mkdir()
    untrained("small_search.py", score, "zero_cost/macs")
    assert "of this name here is ./untrained" in printed()


def test_the_way_to_draw_weights_is_the_configs(untrained):
    init = [
        dict(type="Constant", layer="Conv2d", val=0.25),
        dict(type="Pretrained", checkpoint="-"),
    ]
    options = {"model.model.backbone.init_cfg": init}
    score = dict(type="pinas_mm.GradNormScore", images=8)
    model, found = untrained("small_search.py", score, "zero_cost/grad_norm", **options)
    assert len(found) == len(ARCHS)
    convs = [m for m in model.backbone.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(torch.equal(c.weight, torch.full_like(c.weight, 0.25)) for c in convs)
