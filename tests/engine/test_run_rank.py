"""Which way a score is better that does not say so, and what comes of one that is no number."""

import json
import math

import pytest
from conftest import CONFIGS, NAMES
from mmengine.config import Config

from pinas_mm.engine.run_rank import RankSettings, run_rank
from pinas_mm.errors import UserError
from pinas_mm.registry import SCORES
from pinas_mm.search.evaluation.scores import ArchScore


@SCORES.register_module()
class LossOfChoices(ArchScore):
    """Falls with the sum of the choices; of some architectures it is no number."""

    names = ("loss", "sum", "error")

    def __init__(self, without=()):
        self.without = without

    def measure(self, arch):
        total = float(sum(arch))
        loss = math.nan if str(arch) in self.without else -total
        return {"loss": loss, "sum": total, "error": -total}


@pytest.fixture
def truth(space, tmp_path):
    """A table in which larger choices are truly better: higher top1, lower error."""
    archs = [space.arch(arch.tolist()) for arch in space.everything()[::5]]
    rows = [f"{arch},{sum(arch) + n / 100},{-sum(arch) - n / 100}" for n, arch in enumerate(archs)]
    path = tmp_path / "alone.csv"
    path.write_text("\n".join(["arch,top1,error", *rows]))
    return path, archs


@pytest.fixture
def config(digits, monkeypatch, tmp_path):
    """A search of the small supernet by the loss of choices."""
    monkeypatch.setenv("PINAS_DATA", str(digits))

    def build(without=(), objectives=("sum", "loss:min", "error:min")):
        cfg = Config.fromfile(CONFIGS / "small_search.py")
        cfg.work_dir, cfg.experiment_name = str(tmp_path / "rank"), next(NAMES)
        cfg.search.score = dict(type="LossOfChoices", without=list(without))
        cfg.search.objectives = list(objectives)
        return cfg

    return build


def taus(truth, scores, names, **options):
    """Kendall's tau by each way to ask for it."""
    settings = dict(truth=str(truth), scores=str(scores), metric="top1", tops=(1,), **options)
    return [run_rank(RankSettings(**settings | name)).kendall.value > 0 for name in names]


WAYS = [
    dict(score="sum"),
    dict(score="loss"),
    dict(score="loss:min"),
    dict(score="sum", metric="error"),
    dict(score="loss", metric="error:min"),
]
OTHER_WAYS = [dict(score="loss:max"), dict(score="sum:min"), dict(score="sum", metric="error:max")]


def test_any_objective_of_a_record_says_which_way_is_better(truth, open_record, space, tmp_path):
    objectives = ["sum", "loss:min", "error:min"]
    names = ["sum (maximize)", "loss (minimize)", "error (minimize)"]
    identity = dict(space=space.to_dict(), objectives=names)
    options = dict(objectives=objectives, identity=identity, sampler="RandomSampler", trials=60)
    record = open_record(tmp_path / "work" / "search.db", **options)
    for claim in record.claim(60):
        total = float(sum(claim.arch))
        record.finish(claim, {"sum": total, "loss": -total, "error": -total})
    assert all(taus(truth[0], tmp_path / "work", [{}, *WAYS]))
    assert not any(taus(truth[0], tmp_path / "work", OTHER_WAYS))


def test_any_objective_of_a_config_says_which_way_is_better(truth, config, tmp_path):
    table = tmp_path / "scores.csv"
    rows = [f"{arch},{sum(arch)},{-sum(arch)}" for arch in truth[1]]
    table.write_text("\n".join(["arch,sum,loss", *rows]))
    assert all(taus(truth[0], table, WAYS, cfg=config()))
    assert not any(taus(truth[0], table, OTHER_WAYS, cfg=config()))
    # Where nothing says so, more is better.
    assert taus(truth[0], table, [dict(score="loss"), dict(score="sum")]) == [False, True]


def test_of_a_supernet_too(truth, config):
    for way in (dict(score="loss"), {}):
        # The first objective that is no cost, or the one of this name.
        found = taus(truth[0], "untrained", [way], cfg=config(objectives=["macs", "loss:min"]))
        assert found == [True], way


def test_architectures_without_a_number_are_left_out_and_named(truth, config, tmp_path, printed):
    path, archs = truth
    without, out = [str(archs[3]), str(archs[7])], tmp_path / "out.json"
    options = dict(truth=str(path), metric="top1", tops=(1,), resamples=0)
    asked = RankSettings(
        scores="untrained", score="loss", cfg=config(without), out=str(out), **options
    )
    found = run_rank(asked)
    assert found.number == len(archs) - 2
    told = printed()
    assert "left out: 2 architectures without a score, 0 without a true value" in told
    assert f"no finite score: {', '.join(without)}\n" in told
    written = json.loads(out.read_text())
    assert written["scores"]["without_number"] == without
    assert written["truth"]["architectures_left_out"] == 2
    # What was scored is a table, from which the same comes without the supernet.
    kept = tmp_path / "rank" / "scores.json"
    assert str(kept) in told
    again = RankSettings(scores=str(kept), score="loss:min", common=True, **options)
    assert run_rank(again) == found


def test_too_few_numbers_lose_none(truth, config, tmp_path):
    path, archs = truth
    kept = tmp_path / "rank" / "scores.json"
    for left, message in ((2, "2 true values and 2 scores: a ranking needs"), (0, "loss is no f")):
        without = map(str, archs[left:])
        settings = dict(truth=str(path), scores="untrained", metric="top1", score="loss")
        with pytest.raises(UserError, match=message):
            run_rank(RankSettings(**settings, cfg=config(without)))
        assert [row["arch"] for row in json.loads(kept.read_text())] == list(map(str, archs[:left]))
