"""The search's page in a real browser without a network."""

import re

import pytest
from browser import PHONE, WHOLE, assert_alone
from made_findings import made_findings
from PIL import Image

from pinas_mm.models.cost import count_costs
from pinas_mm.search.report.report import Report

# What the page is asked with.
SCRIPT = """
const all = document.getElementById("all");
const column = (number) => [...all.tBodies[0].rows].filter((row) => !row.hidden)
  .map((row) => row.cells[number].dataset.v ?? row.cells[number].textContent);
const click = (name) => [...all.tHead.rows[0].cells]
  .find((cell) => cell.textContent === name).querySelector("button").click();
const typed = (text) => {
  const field = document.getElementById("filter");
  field.value = text;
  field.dispatchEvent(new Event("input"));
};
"""


@pytest.fixture
def ask(browser, page):
    """Has a browser open the report and evaluate JavaScript in it: the answer."""
    return lambda actions: browser.ask(page, actions, SCRIPT)


@pytest.fixture(scope="module")
def report(space):
    """Findings of 30 architectures."""
    values = [((7 * i) % 30) / 2 for i in range(30)]
    return made_findings(space, values, "score", latency=True)


@pytest.fixture(scope="module")
def page(report, space, tmp_path_factory):
    """Their page, made once."""
    folder = tmp_path_factory.mktemp("report")
    Report(report, folder, count_costs(space, 32)).write()
    return folder / "search.html"


def test_page_names_nothing_outside_itself(page):
    assert_alone(page)


def test_scripts_run_and_nothing_is_fetched(ask):
    ready, tools, answer = ask(
        f"""[document.body.dataset.ready, !document.querySelector(".tools").hidden, {WHOLE}]"""
    )
    assert ready == "30"
    assert tools
    assert answer["fetched"] == answer["twice"] == []
    assert answer["broken"] == 0
    assert [figure["of"] for figure in answer["figures"]] == ["broad"] * 4
    assert all(f["width"] > 500 and f["height"] > 100 for f in answer["figures"])
    assert all(len(figure["alt"]) > 20 for figure in answer["figures"])
    assert answer["wide"] <= answer["width"]


def test_a_telephone_has_figures_and_commands_whole(page, browser):
    commands = """[...document.querySelectorAll("pre")]
      .map((e) => e.scrollWidth > e.clientWidth || e.getBoundingClientRect().right > innerWidth)"""
    answer, commands = browser.ask(page, f"[{WHOLE}, {commands}]", width=PHONE)
    assert answer["width"] == PHONE
    assert answer["wide"] <= PHONE
    assert [figure["of"] for figure in answer["figures"]] == ["narrow"] * 4
    assert all(300 < figure["width"] < PHONE for figure in answer["figures"])
    assert commands == [False] * 3


def test_table_is_there_before_and_sorts_by_click(report, ask):
    ranks, first, again, scores, times = ask("""[
      column(0), (click("macs"), column(4)), (click("macs"), column(4)),
      (click("score"), column(2)), (click("found after"), column(7)),
    ]""")
    assert ranks == [str(rank) for rank in range(1, 31)]
    macs = sorted(e.costs["macs"] for e in report.evaluated)
    assert [float(v) for v in first] == macs
    assert [float(v) for v in again] == macs[::-1]
    # An objective's first click brings its best up.
    assert [float(v) for v in scores] == sorted(e.values[0] for e in report.evaluated)[::-1]
    assert [float(v) for v in times] == sorted(e.seconds for e in report.evaluated)


def test_filter(report, ask):
    some, none, everything, bad = ask("""[
      (typed("1-."), column(1)), (typed("zzz"), column(1)), (typed(""), column(1).length),
      (typed("(*["), column(1).length),
    ]""")
    archs = {str(e.arch) for e in report.evaluated}
    assert set(some) == {arch for arch in archs if re.search("1-.", arch)}
    assert none == []
    assert everything == bad == 30


def test_points_tell_what_they_are(report, ask):
    texts = ask("""[...document.querySelectorAll("#progress-points_0 [data-trial]")].map((e) => {
      e.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
      return [e.dataset.trial, document.getElementById("tip").textContent];
    })""")
    assert len(texts) == 30
    by_trial = {str(e.trial): e for e in report.evaluated}
    for trial, text in texts:
        assert text.startswith(f"{by_trial[trial].arch}\n")
        assert f"trial {trial}" in text


@pytest.mark.parametrize("number", [0, 1])
def test_page_of_next_to_nothing(space, browser, tmp_path, number):
    Report(made_findings(space, [1.0] * number, ["score"]), tmp_path).write()
    dom = browser.open(tmp_path / "search.html", "--dump-dom")
    assert f'data-ready="{number}"' in dom


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screenshot(page, browser, tmp_path, scheme):
    file = tmp_path / f"{scheme}.png"
    options = "--window-size=1280,1600", f"--screenshot={file}"
    browser.open(page, *options, dark=scheme == "dark")
    with Image.open(file) as image:
        assert image.size == (1280, 1600)
        colors = image.convert("RGB").getcolors(1 << 24)
        corner = sum(image.convert("RGB").getpixel((2, 2))) / 3
    assert len(colors) > 200
    assert max(count for count, _ in colors) < 0.9 * 1280 * 1600
    assert (corner > 200) == (scheme == "light")
