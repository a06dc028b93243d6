"""The search's page in a real browser without a network."""

import json
import os
import re
import shutil
import subprocess

import pytest
from made_findings import made_findings
from PIL import Image

from pinas_mm.models.cost import count_costs
from pinas_mm.search.report.report import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed here: bash tools/install_debian.sh"
)
pytestmark = [chromium, pytest.mark.slow]

# What the browser is asked once the page's own script has run.
PROBE = """<script>
window.onerror = (message) => { document.body.dataset.fault = message; };
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
addEventListener("load", () => {
  const answer = ACTIONS;
  document.body.dataset.answer = JSON.stringify(answer);
});
</script></body>"""


@pytest.fixture
def browse(tmp_path):
    """Runs Chromium without a network: its standard output."""

    def run(page, *arguments) -> str:
        alone = ["unshare", "-n"]
        if subprocess.run([*alone, "true"], capture_output=True).returncode:
            alone = []
        command = [
            *alone,
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--proxy-server=127.0.0.1:9",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=4000",
            *arguments,
            f"file://{page}",
        ]
        home = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=home)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def ask(browse, page, tmp_path):
    """Has a browser open the report and evaluate JavaScript in it: the answer."""

    def run(actions: str):
        probe = PROBE.replace("ACTIONS", actions)
        probed = tmp_path / "probed.html"
        probed.write_text(page.read_text().replace("</body>", probe))
        dom = browse(probed, "--dump-dom")
        body = re.search(r"<body[^>]*>", dom).group()
        assert "data-fault" not in body, body
        answer = re.search(r'data-answer="([^"]*)"', body)
        assert answer, body
        return json.loads(answer.group(1).replace("&quot;", '"').replace("&amp;", "&"))

    return run


@pytest.fixture(scope="module")
def report(space):
    """Findings of 30 architectures."""
    values = [((7 * i) % 30) / 2 for i in range(30)]
    return made_findings(space, values, "score", latency=True)


@pytest.fixture(scope="module")
def page(report, space, tmp_path_factory):
    """Their page, made once."""
    folder = tmp_path_factory.mktemp("report")
    write_report(report, folder, count_costs(space, 32))
    return folder / "search.html"


def test_page_names_nothing_outside_itself(page):
    page = page.read_text()
    assert not re.search(r"https?:|//cdn|@import|url\(\s*['\"]?(?!#)", page)
    assert not re.search(r"<(link|iframe|object|embed|base)\b", page)
    assert all(source.startswith("data:") for source in re.findall(r'\bsrc="([^"]*)', page))
    assert all(target.startswith(("#", "data:")) for target in re.findall(r'\bhref="([^"]*)', page))
    assert "default-src 'none'" in page


def test_scripts_run_and_nothing_is_fetched(ask):
    answer = ask("""({
      ready: document.body.dataset.ready,
      fetched: performance.getEntriesByType("resource").map((entry) => entry.name),
      broken: [...document.images].filter((image) => !image.naturalWidth).length,
      pictures: [...document.querySelectorAll("figure svg")].map((svg) => [
        svg.getBoundingClientRect().width > 500, svg.getBoundingClientRect().height > 100,
        svg.getAttribute("aria-label").length > 20]),
      twice: [...document.querySelectorAll("[id]")].length
        - new Set([...document.querySelectorAll("[id]")].map((e) => e.id)).size,
      tools: !document.querySelector(".tools").hidden,
      wide: document.documentElement.scrollWidth <= innerWidth,
    })""")
    assert answer["ready"] == "30"
    assert answer["fetched"] == []
    assert answer["broken"] == 0
    assert answer["pictures"] == [[True, True, True]] * 4
    assert answer["twice"] == 0
    assert answer["tools"]
    assert answer["wide"]


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
def test_page_of_next_to_nothing(space, browse, tmp_path, number):
    write_report(made_findings(space, [1.0] * number, ["score"]), tmp_path)
    dom = browse(tmp_path / "search.html", "--dump-dom")
    assert f'data-ready="{number}"' in dom


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screenshot(page, browse, tmp_path, scheme):
    file = tmp_path / f"{scheme}.png"
    options = ["--window-size=1280,1600", f"--screenshot={file}"]
    if scheme == "dark":
        options.append("--blink-settings=preferredColorScheme=0")
    browse(page, *options)
    with Image.open(file) as image:
        assert image.size == (1280, 1600)
        colors = image.convert("RGB").getcolors(1 << 24)
        corner = sum(image.convert("RGB").getpixel((2, 2))) / 3
    assert len(colors) > 200
    assert max(count for count, _ in colors) < 0.9 * 1280 * 1600
    assert (corner > 200) == (scheme == "light")
