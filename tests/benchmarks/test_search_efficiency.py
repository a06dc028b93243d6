"""Search under scores: known answers on a space of 64 architectures."""

import importlib
import itertools
import json

import numpy as np
import pytest
from conftest import REPOSITORY

ARCHS = [":".join(arch) for arch in itertools.product(("8", "16", "24", "32"), repeat=3)]
TRUE = np.random.default_rng(0).permutation(64) / 2 + 50


@pytest.fixture(autouse=True)
def module(monkeypatch):
    """Imports a module of the benchmarks."""
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    return importlib.import_module


@pytest.fixture
def ceilings(module):
    """What is found without a search, by given scores."""

    def made(scores):
        landscapes = module("landscapes")
        space = landscapes.widths_space(3, (8, 16, 24, 32))
        tables = [landscapes.tabled(space, values) for values in (TRUE, scores)]
        return module("under_scores").ceilings(*tables)

    return made


@pytest.mark.parametrize(
    ("scores", "top", "best", "mean"),
    [
        (TRUE, 81.5, 81.5, 79.25),
        (-TRUE, 50, 54.5, 52.25),
        # Of equals the worst.
        (np.ones(64), 50, 54.5, 52.25),
        # Only the score's best is a bad one.
        (np.where(TRUE == 50, 99, TRUE), 50, 81.5, (50 + 9 * 79.5) / 10),
    ],
    ids=["true", "inverted", "equal", "one wrong"],
)
def test_what_is_picked_of_all(scores, top, best, mean, ceilings):
    figures = ceilings(scores)
    found = figures["all scored"]
    for name, value in {"top 1": top, "best of top 10": best, "mean of top 10": mean}.items():
        assert found[name]["quartiles"] == [value] * 3
        assert found[name]["rank"] == [1 + (value < TRUE).sum()] * 3
    assert found["rank by score"] == [1] * 3
    assert (figures["best"], figures["architectures"]) == (81.5, 64)


def test_halves_have_the_best_every_other_time(ceilings):
    half = ceilings(TRUE)["half scored"]
    # Half of the halves have the best, a quarter the second but not the best.
    assert half["top 1"]["rank"][0] == 1
    assert half["top 1"]["rank"][2] in (2, 3)
    assert half["top 1"]["rank"] == half["best of top 10"]["rank"] == half["rank by score"]
    # Every other one of the best 20, in the mean.
    assert half["mean of top 10"]["mean"] == pytest.approx(81.5 - 19 / 4, abs=0.3)


@pytest.mark.parametrize("number", [1, 3, 6])
def test_best_of_random_is_that_of_every_draw(number, module):
    values = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0])
    best = np.sort([max(draw) for draw in itertools.combinations(values, number)])
    made = module("under_scores").best_of_random(values, number)
    assert made["mean"] == pytest.approx(best.mean())
    quartiles = np.quantile(best, (0.25, 0.5, 0.75), method="inverted_cdf")
    assert made["quartiles"] == quartiles.tolist()
    assert made["rank"] == [1 + (values > value).sum() for value in quartiles[::-1]]


@pytest.fixture
def compare(tool, tmp_path):
    """Writes a table of true values and one of scores, and searches by these."""

    def run(archs, **options):
        truth, scored = tmp_path / "truth.yml", tmp_path / "scores.csv"
        truth.write_text("".join(f"'{a}': {v}\n" for a, v in zip(ARCHS, TRUE, strict=True)))
        lines = [f"{a},{-v}\n" for a, v in zip(archs, TRUE, strict=False)]
        # The order of the rows means nothing.
        scored.write_text("".join(["arch,score\n", *reversed(lines)]))
        options = dict(table=truth, scores=scored, evaluations=64, seeds=2) | options
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        samplers = ("--samplers", "RandomSampler", "EvolutionSampler")
        return tool("../benchmarks/search_efficiency.py", *arguments, *samplers)

    return run


def test_who_scores_all_finds_what_all_have(compare, tmp_path):
    out = tmp_path / "out.json"
    status, text, _ = compare(ARCHS, out=out)
    assert status == 0
    assert "RandomSampler" in text
    figures = json.loads(out.read_text())["figures"]
    assert figures["all scored"]["top 1"]["rank"] == [64] * 3
    assert list(figures["samplers"]) == ["RandomSampler", "EvolutionSampler"]
    for sampler in figures["samplers"].values():
        assert list(sampler["after"]) == ["50", "64"]
        assert sampler["after"]["64"] == figures["all scored"]
        # Who has not scored 14 is no further from the score's best than these.
        assert 1 <= sampler["after"]["50"]["rank by score"][1] <= 15


@pytest.mark.parametrize(
    ("archs", "options", "error"),
    [
        ([f"{arch}:8" for arch in ARCHS], {}, "has no architecture 8:8:8:16 of its space 4^4"),
        ([arch.replace("32", "40") for arch in ARCHS], {}, "give two tables of one space"),
        (ARCHS[:-1], {}, "has no architecture 32:32:32 of its space 4^3: a search needs all"),
        (["8:8", *ARCHS[1:]], {}, "architecture 8:8 is no 3 widths, written 8:64:16"),
        (["8:8:08", *ARCHS], {}, "architecture 8:8:08 is no 3 widths, written 8:64:16"),
        (["8:8:x", *ARCHS[1:]], {}, "architecture 8:8:x is no 3 widths, written 8:64:16"),
        ([ARCHS[1], *ARCHS[1:]], {}, "architecture 8:8:16 is in line 64 too"),
        ([], {}, "scores.csv is empty"),
        (ARCHS, {"scores": "none.csv"}, "cannot read none.csv: No such file or directory"),
        (ARCHS, {"evaluations": 65}, "--evaluations is 65: "),
        (ARCHS, {"seeds": 0}, "--seeds is 0: at least 1 is allowed"),
        (ARCHS, {"out": "README.md/out.json"}, "README.md cannot be written"),
    ],
)
def test_bad_tables_are_one_line(archs, options, error, compare):
    status, _, text = compare(archs, **options)
    assert status == 2
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert error in text


def test_scores_alone_are_refused(tool):
    name = "../benchmarks/search_efficiency.py"
    status, _, text = tool(name, "--made", "--scores", "scores.csv")
    assert (status, text.count("\n")) == (2, 1)
    assert "--scores needs --table" in text
