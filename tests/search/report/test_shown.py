"""Findings as tables, HTML, DataFrames and figures."""

import builtins
import dataclasses
import pickle
import re

import pytest
from made_findings import counted, made_findings
from matplotlib.figure import Figure

from pinas_mm.errors import UserError
from pinas_mm.search.report.shown import FIGURES, ShownFindings


@pytest.fixture
def one(space):
    return ShownFindings.of(made_findings(space, [0.5, 0.912, 0.7], "score"), counted(space))


@pytest.fixture
def two(space):
    values = [(0.5, 10.0), (0.9, 30.0), (0.4, 20.0)]
    return ShownFindings.of(made_findings(space, values, ["score", "loss:min"]))


def test_they_are_the_findings_that_they_show(space, one):
    plain = made_findings(space, [0.5, 0.912, 0.7], "score")
    for field in dataclasses.fields(plain):
        assert getattr(one, field.name) == getattr(plain, field.name)
    assert one.best(2) == plain.best(2)
    assert pickle.loads(pickle.dumps(one)) == one


@pytest.mark.parametrize("write", [str, repr, "{}".format])
def test_printed_they_are_a_table(one, write):
    lines = write(one).splitlines()
    assert "best 3 of 3" in lines[0]
    rows = [line for line in lines if line.startswith("│")]
    assert [row.split("│")[2].strip() for row in rows] == [str(e.arch) for e in one.best()]
    assert "0.912" in rows[0]


def test_a_notebook_has_html(two):
    html = two._repr_html_()
    assert html.startswith("<table><caption>best 3 of 3</caption>")
    heads = re.findall("<th>(.*?)</th>", html)
    assert heads == ["rank", "architecture", "score", "loss", "params", "macs", "trial", "front"]
    rows = re.findall("<tr>(<td>.*?)</tr>", html)
    cells = [re.findall("<td>(.*?)</td>", row) for row in rows]
    assert [row[1] for row in cells] == [str(e.arch) for e in two.best()]
    assert [row[-1] for row in cells] == ["*", "*", ""]


def test_html_of_names_is_text(space):
    html = ShownFindings.of(made_findings(space, [1.0], "<b>score</b>"))._repr_html_()
    assert "<th>&lt;b&gt;score&lt;/b&gt;</th>" in html


def test_a_data_frame_has_all_of_them(one, two):
    pytest.importorskip("pandas", reason="no pandas: pip install 'pinas_mm[notebook]'")
    frame = one.to_dataframe()
    best = one.best()
    assert frame.index.tolist() == [1, 2, 3]
    assert frame.index.name == "rank"
    assert frame.architecture.tolist() == [str(e.arch) for e in best]
    assert frame.score.tolist() == [0.912, 0.7, 0.5]
    assert frame.macs.tolist() == [e.costs["macs"] for e in best]
    assert frame.trial.tolist() == [1, 2, 0]
    assert frame.seconds.tolist() == [3.0, 4.5, 1.5]
    assert "front" not in frame
    assert two.to_dataframe().front.tolist() == [True, True, False]


def test_without_pandas_they_say_what_to_install(one, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **options):
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'pinas_mm\[notebook\]'"):
        one.to_dataframe()


@pytest.mark.parametrize("name", FIGURES)
def test_figures_show_themselves_in_a_notebook(one, name, tmp_path):
    figure = one.plot(name)
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")
    figure.savefig(tmp_path / "figure.svg")


def test_the_network_has_its_blocks_costs(space, one):
    bare = ShownFindings.of(made_findings(space, [0.5], "score"))
    assert len(one.plot("network").axes) == 2 * len(bare.plot("network").axes)


def test_a_figure_that_there_is_not(one):
    with pytest.raises(UserError, match="allowed are network, progress, costs, choices"):
        one.plot("shifts")
