"""The search dict of a config."""

import optuna
import pytest
from conftest import REPOSITORY
from mmengine.config import Config

from pinas_mm.engine.run_search import search_loaders
from pinas_mm.errors import UserError
from pinas_mm.search.budget.constraint import Constraint
from pinas_mm.search.evaluation.scores import CostScore, Score
from pinas_mm.search.settings import SearchSettings

NEEDED = dict(score=dict(type="pinas_mm.ProbeScore"), dataloader={}, calibration_dataloader={})


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("**/pinas_search*.py")))
def test_every_search_config_is_read(path):
    cfg = Config.fromfile(path)
    settings = SearchSettings.parse({**cfg.search, **search_loaders(cfg)})
    assert settings.trials >= 100
    assert settings.score_config["type"].startswith("pinas_mm.")
    assert isinstance(settings.score, Score)


def test_one_constraint_may_be_text():
    settings = SearchSettings.parse(NEEDED | {"constraints": "macs<=5G"})
    assert settings.constraints == (Constraint("macs", "<=", 5e9),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trails": 5}, "search has no trails; it has .*trials"),
        ({"trials": 0}, "search.trials is 0"),
        ({"workers": "2"}, "search.workers is '2'"),
        ({"best": 0}, "search.best is 0"),
        ({"seed": -1}, "search.seed is -1"),
        ({"workers": 10**6}, "search.workers is 1000000: at most"),
        ({"workers": True}, "search.workers is True"),
        ({"batch": 10**9}, "search.batch is 1000000000: at most 4096"),
        ({"storage_timeout": 0}, "search.storage_timeout is 0"),
        ({"keep_workers": 1}, "search.keep_workers is 1: allowed is True or False"),
        ({"study": "a\nb"}, r"search.study is 'a\\nb': a name of 1 to 255 letters"),
        ({"study": ""}, "search.study is ''"),
        ({"study": "x" * 300}, "1 to 255 letters"),
        ({"study": 3}, "search.study is 3: allowed is text"),
        ({"storage": 3}, "search.storage is 3: allowed is text or None"),
        ({"score": None}, "search.score is None: allowed is text or a dict"),
        # Of what it was made the record could not say.
        ({"score": CostScore()}, "search.score is .*CostScore object.*: allowed is text or a dict"),
        ({"dataloader": None}, "search.dataloader is None: allowed is a dict"),
        ({"calibration_dataloader": "x"}, "search.calibration_dataloader is 'x'"),
        ({"objectives": 3}, "search.objectives is 3"),
        ({"objectives": [None, None]}, "give at least one, each once"),
        ({"constraints": 2.5}, "search.constraints is 2.5"),
        ({"constraints": [None]}, "constraint 'None' is not a cost|constraint None"),
        ({"sampler": 3}, "search.sampler is 3"),
        ({"memory": [1]}, r"search.memory is \[1\]"),
        ({"pruner": 2.5}, "search.pruner is 2.5"),
        ({"pruner": "WilcoxonPruner"}, "WilcoxonPruner compares values of single batches"),
        (
            {"pruner": dict(type="PatientPruner", wrapped_pruner="WilcoxonPruner", patience=1)},
            "WilcoxonPruner compares values of single batches",
        ),
        (
            {"pruner": dict(type="PatientPruner", wrapped_pruner=3, patience=1)},
            "pruner PatientPruner has 3 for wrapped_pruner",
        ),
        (
            {"pruner": dict(type="PatientPruner", wrapped_pruner=dict(type="No"), patience=1)},
            "pruner No is unknown",
        ),
        ({"latency": 3}, "search.latency is 3: allowed is a dict or None"),
        ({"images": 2.5}, "search.images is 2.5: allowed is a whole number or None"),
        ({"image_size": (16, 16, 16)}, "search.image_size is .*height and width"),
        ({"image_size": [16, None]}, "search.image_size is"),
        ({"image_size": -3}, "search.image_size is -3"),
        ({"num_classes": "a"}, "search.num_classes is 'a'"),
        ({"heartbeat": 30, "grace": 30}, "make grace a few times heartbeat"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(UserError, match=message):
        SearchSettings.parse(NEEDED | change)


@pytest.mark.parametrize(
    "inner", ["MedianPruner", dict(type="PercentilePruner", percentile=10.0), None]
)
def test_a_pruner_in_a_pruner_is_built(inner):
    config = dict(type="PatientPruner", wrapped_pruner=inner, patience=1)
    settings = SearchSettings.parse(NEEDED | {"pruner": config})
    study = optuna.create_study(pruner=settings.pruner)
    # As many as the median wants before it decides.
    for value in (0.5, 0.5, 0.5, 0.5, 0.5, 0.9):
        trial = study.ask()
        for step in range(1, 5):
            trial.report(value + step / 100, step)
        study.tell(trial, value)
    # The last is worse than all and does not improve.
    assert study.pruner.prune(study, study.trials[-1])


@pytest.mark.parametrize(
    ("change", "named"),
    [({"workers": 2}, "workers is 2"), ({"keep_workers": True}, "keep_workers is True")],
)
def test_who_starts_no_workers_refuses_them(change, named):
    SearchSettings.parse(NEEDED).check_alone("here one searches")
    with pytest.raises(UserError, match=rf"search\.{named}: here one searches; leave it out, or"):
        SearchSettings.parse(NEEDED | change).check_alone("here one searches")


def test_missing_settings_are_named():
    with pytest.raises(UserError, match="search needs dataloader, calibration_dataloader"):
        SearchSettings.parse(dict(score="ProbeScore"))


def test_missing_images_are_named_where_the_config_has_them():
    loader = dict(dataset=dict(data_root="/none"))
    settings = SearchSettings.parse(NEEDED | {"calibration_dataloader": loader})
    with pytest.raises(UserError, match=r"/none .*search\.calibration_dataloader\.dataset\.data_"):
        settings.check_data()
