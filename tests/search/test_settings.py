"""The search dict of a config."""

import pytest
from conftest import REPOSITORY
from mmengine.config import Config

from pinas_mm.errors import UserError
from pinas_mm.search.budget.constraint import Constraint
from pinas_mm.search.evaluation.scores import Score
from pinas_mm.search.settings import SearchSettings

NEEDED = dict(score=dict(type="pinas_mm.ProbeScore"), dataloader={}, calibration_dataloader={})


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("**/pinas_search*.py")))
def test_every_search_config_is_read(path):
    settings = SearchSettings.parse(Config.fromfile(path).search)
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
        ({"heartbeat": 30, "grace": 30}, "make grace a few times heartbeat"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(UserError, match=message):
        SearchSettings.parse(NEEDED | change)


def test_missing_settings_are_named():
    with pytest.raises(UserError, match="search needs dataloader, calibration_dataloader"):
        SearchSettings.parse(dict(score={}))


def test_missing_images_are_named_where_the_config_has_them():
    loader = dict(dataset=dict(data_root="/none"))
    settings = SearchSettings.parse(NEEDED | {"calibration_dataloader": loader})
    with pytest.raises(UserError, match=r"/none .*search\.calibration_dataloader\.dataset\.data_"):
        settings.check_data()
