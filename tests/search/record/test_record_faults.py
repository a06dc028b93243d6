"""Records that somebody else wrote to, or that are damaged: named, left out, counted."""

import json
import re
import sqlite3

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial
from records import fill

from pinas_mm.errors import UserError
from pinas_mm.search.record.encoding import distributions, parameters
from pinas_mm.search.report.report import Report


def enqueued(**choices):
    return lambda study, space: study.enqueue_trial(choices)


def added(value=0.5, choices=None, **options):
    """A trial of another program, by default with a fitting architecture."""

    def add(study, space):
        known = distributions(space)
        params = parameters(space.arch("000"), space) | (choices or {})
        drawn = {
            name: known[name] if value in known[name].choices else CategoricalDistribution([value])
            for name, value in params.items()
        }
        study.add_trial(create_trial(params=params, distributions=drawn, value=value, **options))

    return add


NUMBERS = dict(metrics={"score": 0.5}, costs={"macs": 1.0, "params": 1.0})
FOREIGN = {
    "a choice too many": (enqueued(block_00=99), "block_00 is 99: allowed are 0, 1, 2, 3"),
    "below zero": (enqueued(block_00=-1, block_01=0, block_02=0), "block_00 is -1"),
    "half a choice": (enqueued(block_01=0.5), "block_01 is 0.5"),
    "text": (enqueued(block_01="a"), "block_01 is 'a'"),
    "none": (enqueued(block_02=None), "block_02 is None"),
    "a list": (enqueued(block_02=[1]), r"block_02 is \[1\]"),
    "not a number": (enqueued(block_02=float("nan")), "block_02 is nan"),
    "another program's": (
        lambda study, space: study.add_trial(
            create_trial(
                params={"x": 1.0},
                distributions={"x": optuna.distributions.FloatDistribution(0, 2)},
                value=7.0,
            )
        ),
        "it has no block_00",
    ),
    "not evaluated here": (added(), "metrics has not a number for each name"),
    "infinite": (added(float("inf"), user_attrs=NUMBERS), r"values are \[inf\]: 1 finite"),
    "text for a metric": (added(user_attrs={**NUMBERS, "metrics": {"score": "a"}}), "metrics"),
    "costs that are none": (added(user_attrs={**NUMBERS, "costs": [1]}), "attribute costs"),
    "times that are none": (added(user_attrs={**NUMBERS, "times": ["now", 2]}), "times is"),
    "half a time": (added(user_attrs={**NUMBERS, "times": [1.0]}), r"times is \[1.0\]"),
    "an odd count of deaths": (
        lambda study, space: study.enqueue_trial({"block_00": 0}, user_attrs={"died": "x"}),
        "died is 'x'",
    ),
}


@pytest.fixture
def all_named(monkeypatch):
    monkeypatch.setattr("pinas_mm.search.record.record.MOST_NAMED", 99)


def assert_said(faults: dict, wanted: list[str], out: str) -> None:
    """Each fault is the wanted one, and is said."""
    assert f"left out of the record, {len(wanted)} in number: " in out
    for (number, text), pattern in zip(sorted(faults.items()), wanted, strict=True):
        assert re.search(pattern, text), (pattern, text)
        assert f"trial {number}: {text}" in out


@pytest.mark.parametrize("sampler", ["EvolutionSampler", "TPESampler"])
def test_trials_that_cannot_be_used_are_named_left_out_and_counted(
    open_record, sqlite, space, printed, all_named, sampler
):
    record = open_record(sqlite, trials=6, sampler=sampler)
    claims = record.claim(2)
    assert record.finish(claims[0], {"score": 0.25})
    study = optuna.load_study(study_name="search", storage=sqlite)
    for write, _ in FOREIGN.values():
        write(study, space)
    wanted = [said for _, said in FOREIGN.values()]
    # The running worker meets them, and whoever starts later.
    for opened in (record, open_record(sqlite, trials=6, sampler=sampler)):
        printed()
        opened._named.clear()
        assert len(opened.findings().evaluated) == 1
        assert_said(opened._storage.faults, wanted, printed())
    assert record.finish(claims[1], {"score": 0.5})
    fill(opened)
    assert opened.finished()
    found = opened.findings()
    assert found.states["complete"] == len(found.evaluated) == 6
    assert found.states["left out"] == len(FOREIGN)
    assert found.states["fail"] == 0
    assert not {e.trial for e in found.evaluated} & opened._storage.faults.keys()
    # Said once.
    assert "left out" not in printed()


def test_another_programs_choices_do_not_decide_ours(open_record, sqlite, space):
    record = open_record(sqlite, trials=3)
    study = optuna.load_study(study_name="search", storage=sqlite)
    added(choices={"block_01": "wide"}, user_attrs=NUMBERS)(study, space)
    assert len(fill(record)) == 3
    assert record._storage.faults == {0: "block_01 is 'wide': allowed are 0, 1, 2, 3"}


PARAMETER = "UPDATE trial_params SET {} WHERE trial_id = {{}}"
ATTRIBUTE = "UPDATE trial_user_attributes SET value_json = {} WHERE trial_id = {{}}"
VALUE = "UPDATE trial_values SET value = NULL{} WHERE trial_id = {{}}"
CHOICES = json.dumps({"name": "CategoricalDistribution", "attributes": {"choices": list("abcd")}})
CHOICES = CHOICES.replace("{", "{{").replace("}", "}}")
DAMAGES = {
    "no value": ("DELETE FROM trial_values WHERE trial_id = {}", "values are None"),
    "infinite value": (VALUE.format(", value_type = 'INF_POS'"), r"values are \[inf\]"),
    "value that is none": (VALUE.format(""), "cannot be read|values are"),
    "no parameters": ("DELETE FROM trial_params WHERE trial_id = {}", "it has no block_00"),
    "parameter out of range": (PARAMETER.format("param_value = 17"), "cannot be read"),
    "distribution cut": (PARAMETER.format("distribution_json = '[\"name'"), "cannot be read"),
    "no distribution": (PARAMETER.format("distribution_json = '[]'"), "cannot be read"),
    "other choices": (
        # Their braces must survive being formatted.
        PARAMETER.format(f"distribution_json = '{CHOICES}'"),
        "block_00 is '.': allowed are 0, 1, 2, 3",
    ),
    "attribute cut": (ATTRIBUTE.format("'[\"sc'"), "cannot be read"),
    "attribute missing": ("DELETE FROM trial_user_attributes WHERE trial_id = {}", "metrics"),
    "attribute of another kind": (ATTRIBUTE.format("'7'"), "metrics"),
    "no end": ("UPDATE trials SET datetime_complete = NULL WHERE trial_id = {}", "no time"),
}


def test_damaged_trials_are_named_left_out_and_evaluated_anew(
    open_record, tmp_path, printed, all_named
):
    path, number = tmp_path / "search.db", len(DAMAGES)
    record = open_record(path, trials=number + 2)
    for claim in record.claim(number + 2):
        # Those that will be damaged are the best.
        assert record.finish(claim, {"score": 99.0 - claim.trial.number})
    with sqlite3.connect(path) as database:
        for trial, (damage, _) in enumerate(DAMAGES.values(), 1):
            database.execute(damage.format(trial))
    printed()
    record = open_record(path, trials=number + 2)
    wanted = [said for _, said in DAMAGES.values()]
    assert_said(record._storage.faults, wanted, printed())
    assert len(fill(record)) == number
    found = record.findings()
    assert found.states["complete"] == len(found.evaluated) == number + 2
    assert found.states["left out"] == number
    assert found.best(1)[0].trial == number
    Report(found, tmp_path).write()
    assert f"{number} left out" in (tmp_path / "search.html").read_text()
    written = json.loads((tmp_path / "best.json").read_text())
    assert written["trials"]["left out"] == number


def test_many_are_counted_and_a_few_named(open_record, sqlite, printed):
    record = open_record(sqlite, trials=1)
    study = optuna.load_study(study_name="search", storage=sqlite)
    for _ in range(9):
        study.enqueue_trial({"block_00": 9})
    fill(record)
    out = printed()
    assert "9 in number" in out
    assert "and 4 more" in out
    assert record.findings().states["left out"] == 9


IDENTITIES = {
    "cut": ("'{\"ma'", "does not say of which search it is"),
    "a list": ("'[1]'", r"holds another search: identity was \[1\]"),
    "text": ("'\"x\"'", "holds another search: identity was x"),
    "a number": ("'3'", "holds another search: identity was 3"),
    "nothing": ("'null'", "holds another search: made was null"),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_a_damaged_identity_is_one_line(open_record, tmp_path, name):
    value, said = IDENTITIES[name]
    path = tmp_path / "search.db"
    fill(open_record(path, trials=2))
    with sqlite3.connect(path) as database:
        database.execute(f"UPDATE study_user_attributes SET value_json = {value}")
    with pytest.raises(UserError, match=f"{said}.*--study-name") as error:
        open_record(path)
    assert "\n" not in str(error.value)


BROKEN = {
    "tables of an older Optuna": (
        "UPDATE alembic_version SET version_num = 'v3.0.0.a'",
        "of another version of Optuna.*`optuna storage upgrade --storage sqlite:///.*search.db`",
    ),
    "tables of a newer one": (
        "UPDATE alembic_version SET version_num = 'v9.9.9.a'",
        "of another version of Optuna.*`pip install -U optuna`",
    ),
    "a state that is none": ("UPDATE trials SET state = 'DONE'", "is damaged .*DONE"),
    "a time that is none": ("UPDATE trials SET datetime_start = 'noon'", "is damaged"),
    "no tables of trials": ("DROP TABLE trial_params", "trial_params|is damaged"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_record_that_cannot_be_read_is_one_line(open_record, tmp_path, name):
    damage, said = BROKEN[name]
    path = tmp_path / "search.db"
    fill(open_record(path, trials=2))
    with sqlite3.connect(path) as database:
        database.execute(damage)
    if name == "no tables of trials":
        # Optuna makes them anew, and the trials have no parameters.
        assert open_record(path).findings().states["left out"] == 2
        return
    with pytest.raises(UserError, match=said) as error:
        open_record(path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_database_is_one_line(open_record, tmp_path):
    path = tmp_path / "search.db"
    path.write_text("no database\n" * 500)
    with pytest.raises(UserError, match="not a database"):
        open_record(path)


def test_a_study_that_is_deleted_meanwhile_is_one_line(open_record, sqlite):
    record = open_record(sqlite)
    (claim,) = record.claim(1)
    optuna.delete_study(study_name="search", storage=sqlite)
    for work in (
        lambda: record.finish(claim, {"score": 1.0}),
        lambda: record.claim(1),
        record.findings,
    ):
        with pytest.raises(UserError, match=r"does not exist.*--study-name"):
            work()


def test_a_study_made_for_the_other_direction_is_refused(open_record, sqlite):
    optuna.create_study(storage=sqlite, study_name="search")
    with pytest.raises(UserError, match="directions was minimize and is now maximize"):
        open_record(sqlite)


def test_what_waits_outside_the_budget_is_named(open_record, sqlite, space, printed):
    record = open_record(sqlite, constraints=["params<=15k"])
    study = optuna.load_study(study_name="search", storage=sqlite)
    costs = {arch: record.costs(space.arch(arch))["params"] for arch in ("000", "333")}
    outside = max(costs, key=costs.get)
    study.enqueue_trial(parameters(space.arch(outside), space))
    record.claim(1)
    assert f"trial 0, {space.arch(outside)}, waited and is outside" in printed()
