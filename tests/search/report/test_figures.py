"""Figures of searches of all kinds."""

import threading
import warnings

import matplotlib
import numpy as np
import pytest
from made_findings import made_findings

from pinas_mm.analysis.feature_shift import FEATURE
from pinas_mm.analysis.parameter_shift import MOTION, PARAMETER
from pinas_mm.analysis.shift import Shifts
from pinas_mm.models.cost import count_costs
from pinas_mm.search.report import figures
from pinas_mm.search.report.figures.choices import shares
from pinas_mm.search.report.figures.output import VARIABLES
from pinas_mm.search.report.figures.style import NARROW, WIDTH
from pinas_mm.search.report.shown import FIGURES, ShownFindings
from pinas_mm.space import SearchSpace

SPACES = {
    "one block": SearchSpace([(1, 1, 64)] * 2, (1,), (32,), (1,)),
    "four stages": SearchSpace([(1, 1, 64), (2, 1, 64)], (1,) * 4, (16,) * 4, (2, 1, 2, 1)),
    "the paper's": SearchSpace(),
    "most candidates": SearchSpace(
        [(r, g, 48 * w) for r in (1, 2, 3) for g in (1, 2) for w in range(1, 7)],
        (4, 4, 4, 4),
    ),
    "sixteen stages": SearchSpace(depths=(1,) * 16, widths=(64,) * 16, strides=(1, 1, 1, 2) * 4),
    "deep": SearchSpace(depths=(3, 4, 23, 3)),
}


def drawn(findings, narrow=False):
    shown = ShownFindings.of(findings, count_costs(findings.space, 32))
    return {name: shown.plot(name, narrow) for name in FIGURES}


def texts(figure) -> list:
    found = figure.findobj(matplotlib.text.Text)
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def assert_readable(figure):
    """No text is cut off, no two texts of an axis (ticks left out) lie on each other."""
    figure.draw_without_rendering()
    renderer = figure._get_renderer()
    width, height = figure.canvas.get_width_height()
    ticks = [t for axis in figure.axes for t in axis.get_xticklabels() + axis.get_yticklabels()]
    boxes = []
    for text in texts(figure):
        if text in ticks:
            continue
        box = text.get_window_extent(renderer)
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height + 1, text
        for other, place in boxes:
            lapped = box.shrunk(0.94, 0.8).overlaps(place.shrunk(0.94, 0.8))
            assert not lapped, (text, other)
        boxes.append((text, box))


@pytest.mark.parametrize("narrow", [False, True], ids=["broad", "narrow"])
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_texts_are_whole_and_apart(space, narrow):
    number = min(space.size, 25)
    values = np.random.default_rng(0).normal(60, 5, number).round(2).tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        findings = made_findings(space, values, "accuracy/top1", latency=True)
        for figure in drawn(findings, narrow).values():
            assert figure.get_figwidth() == (NARROW if narrow else WIDTH)
            assert_readable(figure)
            assert len(figures.to_png(figure)) > 5_000


@pytest.mark.parametrize(
    ("number", "objectives"),
    [
        (0, ["score"]),
        (1, ["loss:min"]),
        (1, ["score", "macs"]),
        (2, ["score"]),
        (2, ["macs", "params", "score"]),
        (12, ["loss:min"]),
        (12, ["score", "macs"]),
    ],
)
def test_few_and_equal_values(space, number, objectives):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        findings = made_findings(space, [(10.0,) * len(objectives)] * number, objectives)
        for name, figure in drawn(findings).items():
            assert_readable(figure)
            assert figures.to_svg(figure, name, "words").startswith("<svg")


def test_progress_has_all_and_the_best(space):
    figure = figures.draw_progress(made_findings(space, [3.0, 1.0, 2.0, 0.5], "loss:min"))
    (axis,) = figure.axes
    assert axis.collections[0].get_offsets()[:, 1].tolist() == [3.0, 1.0, 2.0, 0.5]
    assert axis.lines[0].get_ydata().tolist() == [3.0, 1.0, 1.0, 0.5, 0.5]
    star = axis.lines[1]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (4, 0.5)


def test_progress_has_a_panel_an_objective(space):
    values = [(0.1, 9.0, 1.0), (0.2, 8.0, 2.0)]
    figure = figures.draw_progress(made_findings(space, values, ["a", "b:min", "c", "d"][:3]))
    assert len(figure.axes) == 3


def test_costs_mark_the_front_of_each_panel(space):
    findings = made_findings(space, [float(v) for v in range(20)], "score", latency=True)
    figure = figures.draw_costs(findings)
    panels = figure.axes[:3]
    assert [axis.get_xlabel() for axis in panels] == ["parameters", "multiply-adds", "latency"]
    for axis, name in zip(panels, ("params", "macs", "latency"), strict=True):
        front = list(zip(*axis.lines[0].get_data(), strict=True))
        pairs = [(e.costs[name], e.values[0]) for e in findings.evaluated]
        unbeaten = {
            (x, y)
            for x, y in pairs
            if not any(a <= x and b >= y and (a, b) != (x, y) for a, b in pairs)
        }
        assert set(front) == unbeaten
        assert front == sorted(front)


def test_costs_of_two_objectives_show_their_front(space):
    values = [(0.5, 10.0), (0.9, 30.0), (0.4, 20.0), (0.7, 20.0)]
    figure = figures.draw_costs(made_findings(space, values, ["score", "loss:min"]))
    assert [axis.get_xlabel() for axis in figure.axes[:3]] == [
        "loss",
        "parameters",
        "multiply-adds",
    ]
    x, y = figure.axes[0].lines[0].get_data()
    assert list(zip(x, y, strict=True)) == [(10.0, 0.5), (20.0, 0.7), (30.0, 0.9)]


def test_costs_show_bounds_that_are_near(space):
    findings = made_findings(space, [1.0, 2.0, 3.0], "score")
    near = max(e.costs["macs"] for e in findings.evaluated)
    for bound, drawn_bounds in ((near, 1), (100 * near, 0)):
        constrained = made_findings(
            space, [1.0, 2.0, 3.0], "score", constraints=(f"macs<={bound:.0f}",)
        )
        figure = figures.draw_costs(constrained)
        lines = [line for axis in figure.axes for line in axis.lines if line.get_gid() == "bound"]
        assert len(lines) == drawn_bounds


def test_shares(space):
    archs = [space.arch(a) for a in ("000", "010", "013", "011")]
    found = shares(archs, space)
    assert found.shape == (3, 4)
    assert found[0].tolist() == [1, 0, 0, 0]
    assert found[1].tolist() == [0.25, 0.75, 0, 0]
    assert found[2].tolist() == [0.5, 0.25, 0, 0.25]


def test_choices_compare_the_best_with_all(space):
    values = [float(v) for v in range(40)]
    figure = figures.draw_choices(made_findings(space, values, "score"))
    notes = [text.get_text() for text in texts(figure)]
    assert any("best 10;" in note for note in notes)
    assert any("all 40" in note for note in notes)
    figure = figures.draw_choices(made_findings(space, values[:10], "score"))
    assert not any("among all" in text.get_text() for text in texts(figure))


def test_network_has_each_blocks_numbers(space):
    findings = made_findings(space, [1.0, 2.0], "score")
    arch = space.arch("031")
    written = [t.get_text() for t in texts(figures.draw_network(findings, arch=arch))]
    for choice in arch:
        candidate = space.candidates[choice]
        numbers = f"r{candidate.radix} g{candidate.groups}\nw{candidate.base_width}"
        assert numbers in written
    assert any(str(arch) in text for text in written)
    assert not any("Multiply-adds" in text for text in written)
    strides = [f"stride {b.stride}" for b in space.blocks() if b.stride > 1]
    assert sorted(t for t in written if t.startswith("stride")) == sorted(strides)


def test_svg_is_for_a_page(space):
    findings = made_findings(space, [1.0, 2.0, 3.0, 0.0], "score", trials=[4, 7, 9, 11])
    figure = figures.draw_progress(findings)
    svg = figures.to_svg(figure, "here", 'a "picture"', [4, 7, 9, 11])
    assert [svg.count(f'data-trial="{trial}"') for trial in (4, 7, 9, 11)] == [1] * 4
    assert "http" not in svg
    assert "<style" not in svg
    assert 'aria-label="a &quot;picture&quot;"' in svg
    assert all(part.startswith("here-") for part in svg.split('id="')[1:])
    assert all(part.startswith("here-") for part in svg.split('href="#')[1:])
    assert not any(color in svg for color in VARIABLES)


def test_many_points_are_one_bitmap(space, monkeypatch):
    monkeypatch.setattr(figures.progress, "MOST_SHAPES", 2)
    findings = made_findings(space, [1.0, 2.0, 3.0], "score")
    svg = figures.to_svg(figures.draw_progress(findings), "a", "b", [0, 1, 2])
    assert "data:image/png" in svg
    assert "data-trial" not in svg


def test_settings_are_left_as_they_were_and_any_thread_draws(space):
    findings = made_findings(space, [1.0, 2.0, 3.0], "score")
    before, made = dict(matplotlib.rcParams), []

    def draw():
        made.append([figures.to_png(figure) for figure in drawn(findings).values()])

    threads = [threading.Thread(target=draw) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made[0] == made[1]
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("blocks", [1, 16, 32])
def test_shifts_by_depth_are_readable(blocks):
    rng = np.random.default_rng(0)
    places = (*(f"layer{n // 8 + 1}.{n % 8}" for n in range(blocks)), "output")
    values = {
        name: [[], *rng.uniform(0, 1, (blocks - 1, 4)).tolist(), []]
        for name in (*FEATURE, *PARAMETER, MOTION)
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = figures.draw_shifts(Shifts(places, values))
        assert_readable(figure)
        assert len(figures.to_png(figure)) > 5_000
