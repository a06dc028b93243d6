"""The demos' pages, of committed findings and of a small training and search, in a real browser."""

import copy
import json
import re
import shutil

import pytest
from browser import PHONE, WHOLE, assert_alone
from conftest import CONFIGS, NAMES, REPOSITORY
from mmengine.config import Config
from PIL import Image
from rich.table import Table

from pinas_mm.demo import transfer
from pinas_mm.demo.page import html_table, origin, words
from pinas_mm.demo.sections import SHOWN, demo_page
from pinas_mm.demo.task import TASKS, task_page
from pinas_mm.engine import launch
from pinas_mm.engine.run_search import run_search
from pinas_mm.errors import UserError

SEEDS = "0", "1"


def committed(name: str) -> dict:
    return json.loads((REPOSITORY / "docs" / name).read_text())


@pytest.fixture(scope="module")
def ran(tmp_path_factory, digits):
    """Work dirs of a small training and of a search of its supernet."""
    folder = tmp_path_factory.mktemp("ran")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINAS_DATA", str(digits))
        cfg = Config.fromfile(CONFIGS / "small_supernet.py")
        cfg.work_dir, cfg.experiment_name = str(folder / "supernet"), next(NAMES)
        launch.build_runner(cfg).train()
        cfg = Config.fromfile(CONFIGS / "small_search_label_free.py")
        cfg.work_dir, cfg.experiment_name = str(folder / "search"), next(NAMES)
        run_search(cfg, str(folder / "supernet"))
    return folder


@pytest.fixture(scope="module")
def demo(ran, tmp_path_factory):
    """The page of a demo of two seeds."""
    folder, found = tmp_path_factory.mktemp("demo"), committed("demo.json")
    for key in ("seeds", "searches", "alone", "transfers"):
        found[key] = {seed: copy.deepcopy(found[key]["0"]) for seed in SEEDS}
    for seed in SEEDS:
        shutil.copytree(ran, folder / f"seed{seed}")
    with Image.open(REPOSITORY / "docs" / "transfer.png") as sheet:
        for place, task in enumerate(transfer.TASKS):
            pictures = transfer.folder_of(folder / "seed0", task) / "predictions"
            pictures.mkdir(parents=True)
            for number in range(SHOWN + 1):
                left, top = 200 * number, 300 * place
                sheet.crop((left, top, left + 200, top + 100)).save(pictures / f"{number}.png")
    (folder / "index.html").write_text(demo_page(folder, found))
    return folder / "index.html"


@pytest.fixture(scope="module")
def task(ran, tmp_path_factory):
    """The page of a demo of searches on the task."""
    folder = tmp_path_factory.mktemp("task")
    for name in ("probe_search", *(f"{task.name}/search" for task in TASKS)):
        shutil.copytree(ran / "search", folder / name)
    (folder / "index.html").write_text(task_page(folder, committed("demo-task.json")))
    return folder / "index.html"


# Figures: curves, four of each seed's search, what the winner is worth; four of each search, worth.
@pytest.mark.parametrize(("name", "figures"), [("demo", 1 + 4 * 2 + 1), ("task", 4 * 3 + 1)])
def test_in_a_browser_nothing_is_missing_cut_or_fetched(name, figures, request, browser):
    page = request.getfixturevalue(name)
    assert_alone(page)
    steps = '[...document.querySelectorAll("nav a")].map((a) => a.textContent)'
    titles = '[...document.querySelectorAll("main h2")].map((h) => h.textContent)'
    broad, steps, titles = browser.ask(page, f"[{WHOLE}, {steps}, {titles}]")
    narrow = browser.ask(page, WHOLE, width=PHONE, dark=True)
    assert steps == titles
    assert len(titles) > 5
    assert narrow["width"] == PHONE
    for answer, of in ((broad, "broad"), (narrow, "narrow")):
        assert answer["fetched"] == answer["twice"] == answer["cut"] == []
        assert answer["broken"] == 0
        assert answer["wide"] <= answer["width"]
        assert [figure["of"] for figure in answer["figures"]] == [of] * figures
        assert all(f["height"] > 60 and len(f["alt"]) > 20 for f in answer["figures"])
    assert all(figure["width"] > 500 for figure in broad["figures"])
    assert all(300 < figure["width"] < PHONE for figure in narrow["figures"])
    assert (broad["dark"], narrow["dark"]) == (False, True)


def test_a_page_that_complains_is_seen(browser, tmp_path):
    (tmp_path / "bad.html").write_text("<body><script>console.error('no')</script></body>")
    with pytest.raises(AssertionError, match="no"):
        browser.open(tmp_path / "bad.html", "--dump-dom")


def test_every_step_says_what_the_findings_say(demo):
    found = committed("demo.json")
    text = re.sub(r"<(style|svg)\b.*?</\1>", "", demo.read_text(), flags=re.DOTALL)
    shown = re.sub(r"<[^>]*>", " ", text)
    best = found["searches"]["0"]["best"]
    longest = max(row["seconds"] for row in found["times"])
    expected = [
        *(one["arch"] for one in best),
        f"{found['alone']['0']['top1']:.1f}",
        f"{found['seeds']['0']['trained']['probe']:.1f}",
        *(f"{found['transfer_mean']['pre-trained'][key]:.1f}" for key in ("box_ap", "ade20k_miou")),
        f"{found['minutes']} minutes in all",
        found["command"],
        found["machine"]["cpu"],
        *found["versions"].values(),
        *(row["name"] for row in found["times"]),
        *(row["layout"] for row in found["images"]),
        "mean of 2 seeds",
        "{} min {} s".format(*divmod(round(longest), 60)),
    ]
    assert [word for word in expected if word not in shown] == []
    assert text.count("<img") == SHOWN * len(transfer.TASKS)
    # Colours of the light scheme stand in the style sheet alone.
    assert re.sub(r"<style>.*?</style>", "", demo.read_text(), flags=re.DOTALL).find("#1b2231") < 0


def test_names_are_no_markup():
    table = Table("<b>", title="a & b")
    table.add_column("right", justify="right")
    table.add_row("<script>", "\x1b[2J")
    assert html_table(table) == (
        '<table class="small"><caption>a &amp; b</caption><thead><tr><th class="text">&lt;b&gt;'
        '</th><th>right</th></tr></thead>\n<tbody>\n<tr><td class="text">&lt;script&gt;</td>'
        "<td>\\x1b[2J</td></tr>\n</tbody></table>"
    )
    assert words("<a>\nb") == '<p class="say">&lt;a&gt;</p>\n<p class="say">b</p>'


def test_findings_of_earlier_demos_have_no_times_and_that_is_no_fault():
    machine = dict(cpu="Made", cores=2, python="3.11", torch="2.8")
    found = dict(command="tools/demo.py", minutes=3, resumed=True, machine=machine)
    times, versions = origin(found)
    assert times.parts == [
        words("3 minutes in all, of the run that ended it: it was broken off before")
    ]
    assert "2 cores of Made" in versions.parts[0]


def test_a_search_whose_page_is_gone_is_named(ran, tmp_path):
    shutil.copytree(ran / "supernet", tmp_path / "seed0" / "supernet")
    page = tmp_path / "seed0" / "search" / "search.html"
    with pytest.raises(UserError, match=re.escape(f"{page} is missing")):
        demo_page(tmp_path, committed("demo.json"))
