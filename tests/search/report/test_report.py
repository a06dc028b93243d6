"""Files that a search leaves behind, and its table for the terminal."""

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_findings import made_findings
from mmengine.config import DictAction
from rich.console import Console

from pinas_mm.models.cost import count_costs
from pinas_mm.search.report.page import arch_option, in_words
from pinas_mm.search.report.report import Report
from pinas_mm.search.report.shown import ShownFindings
from pinas_mm.search.report.table import best_table, columns
from pinas_mm.space import Arch, SearchSpace

FILES = {"search.html", "best.json", "best.txt"} | {
    f"figures/{name}.png" for name in ("choices", "costs", "network", "progress")
}


def files(folder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def terminal(table, width=200) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_all_files_are_there(space, tmp_path):
    findings = made_findings(space, [0.5, 0.9, 0.7], "score")
    Report(findings, tmp_path / "new" / "folder", count_costs(space, 32), number=2).write()
    written = files(tmp_path / "new" / "folder")
    assert set(written) == FILES
    assert json.loads(written["best.json"]) == findings.to_dict(2) | {"image_size": [32, 32]}
    assert written["best.txt"].decode() == f"{findings.evaluated[1].arch}\n"
    for name in FILES:
        if name.endswith("png"):
            assert written[name].startswith(b"\x89PNG")


def test_best_txt_is_for_the_shell(space, tmp_path):
    findings = made_findings(space, [0.5, 0.9], "score")
    Report(findings, tmp_path).write()
    shell = 'printf %s "$(cat best.txt)"'
    said = subprocess.run(shell, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert space.arch(said.stdout) == findings.evaluated[1].arch


def test_nothing_evaluated_leaves_no_old_winner(space, tmp_path):
    Report(made_findings(space, [0.5], "score"), tmp_path).write()
    Report(made_findings(space, [], "score"), tmp_path).write()
    assert set(files(tmp_path)) == FILES - {"best.txt"}
    assert "Nothing is evaluated yet" in (tmp_path / "search.html").read_text()


SCRIPT = """
import sys
sys.path.insert(0, "tests")
from made_findings import made_findings
from pinas_mm.search.report.report import Report
from pinas_mm.space import SearchSpace
values = [(0.5, 3.0), (0.9, 2.0), (0.7, 1.0)]
Report(made_findings(SearchSpace(), values, ["score", "macs"]), "FOLDER").write()
"""


def test_same_bytes_from_another_process(tmp_path):
    values = [(0.5, 3.0), (0.9, 2.0), (0.7, 1.0)]
    Report(made_findings(SearchSpace(), values, ["score", "macs"]), tmp_path).write()
    first = files(tmp_path)
    run = [sys.executable, "-c", SCRIPT.replace("FOLDER", str(tmp_path))]
    subprocess.run(run, check=True, cwd=Path(__file__).parents[3])
    assert files(tmp_path) == first


def test_page_of_a_thousand_trials_stays_small(tmp_path):
    space = SearchSpace()
    values = np.random.default_rng(0).normal(60, 5, 1000).tolist()
    findings = made_findings(space, values, "accuracy/top1", latency=True)
    Report(findings, tmp_path, count_costs(space)).write()
    assert (tmp_path / "search.html").stat().st_size < 3e6


def test_pruned_architectures_are_counted_apart(space, tmp_path):
    findings = made_findings(space, [0.5, 0.9], "score")
    states = {**findings.states, "pruned": 3}
    Report(dataclasses.replace(findings, states=states), tmp_path).write()
    page = (tmp_path / "search.html").read_text()
    assert "2 architectures evaluated, 3 more stopped early by the pruner" in page
    assert json.loads((tmp_path / "best.json").read_text())["trials"]["pruned"] == 3


def test_names_cannot_break_the_page(space, tmp_path):
    findings = made_findings(space, [1.0], "<b>score</b>&'\"")
    findings = dataclasses.replace(findings, checkpoint="<script>alert(1)</script>")
    Report(findings, tmp_path / "a folder's").write()
    page = (tmp_path / "a folder's" / "search.html").read_text()
    assert "<b>score" not in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    # The command line is quoted for the shell, then for the page.
    assert "a folder&#39;&#34;&#39;&#34;&#39;s&#39; --out" in page


@pytest.mark.parametrize(
    ("start", "place"), [(".", "runs/search"), ("runs/search", "."), ("elsewhere", "search")]
)
def test_the_pages_commands_run_from_where_it_says(space, tmp_path, monkeypatch, start, place):
    (tmp_path / start).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / start)
    folder = tmp_path / "runs" / "search"
    findings = made_findings(space, [1.0], "score")
    findings = dataclasses.replace(findings, checkpoint=str(tmp_path / "runs/supernet/epoch_1.pth"))
    Report(findings, folder, config=folder / "small.py").write()
    page = (folder / "search.html").read_text()
    config = str(Path(place) / "small.py")
    command = f"python tools/export.py --best {place} --out best.pth --calibrate {config}"
    assert f"<pre>{command}</pre>" in page
    said = "the folder that has search/" if start == "elsewhere" else "the search was started in"
    assert said in page
    assert str(tmp_path) not in page
    checkpoint = {".": "runs/supernet/", "runs/search": "", "elsewhere": "supernet/"}[start]
    assert f">{checkpoint}epoch_1.pth</dd>" in page


def test_no_config_no_calibration(space, tmp_path):
    Report(made_findings(space, [1.0], "score"), tmp_path).write()
    assert "--calibrate" not in (tmp_path / "search.html").read_text()


@pytest.mark.parametrize(
    ("choices", "depths"),
    [
        ((3, 0, 1), (3,)),
        ((0, 1, 2), (3,)),
        ((1, 14, 5), (2, 1)),
        ((29, 27, 30, 14), (4,)),
        ((23, 10, 23), (3,)),
        ((1, 2, 3), (1, 2)),
        ((7,), (1,)),
    ],
)
def test_arch_option_reaches_the_config_whole(choices, depths):
    arch = Arch(choices, depths)
    space = SearchSpace([(1, 1, 64)] * 36, depths, (64,) * len(depths), (1,) * len(depths))
    key, _, text = arch_option(arch).partition("=")
    assert key == "model.backbone.arch"
    assert space.arch(DictAction._parse_iterable(text)) == arch


def test_terminal_table(space):
    findings = made_findings(space, [0.5, 0.912, 0.7], "score")
    shown = terminal(best_table(findings, 2))
    rows = [line for line in shown.splitlines() if "│" in line]
    assert len(rows) == 2
    assert str(findings.evaluated[1].arch) in rows[0]
    assert "0.912" in rows[0]
    assert "0.700" in rows[1]
    assert "best 2 of 3" in shown
    assert "nothing evaluated yet" in terminal(best_table(made_findings(space, [], "score")))


def test_terminal_table_marks_the_front(space):
    values = [(0.5, 10.0), (0.9, 30.0), (0.4, 20.0)]
    shown = terminal(best_table(made_findings(space, values, ["score", "loss:min"])))
    rows = [line for line in shown.splitlines() if line.startswith("│")]
    assert [row.count("*") for row in rows] == [1, 1, 0]


COCO = [f"coco/bbox_mAP{suffix}" for suffix in ("", "_50", "_75", "_s", "_m", "_l")]


@pytest.mark.parametrize("width", [80, 120, 140, 200])
def test_numbers_stay_whole_however_narrow_the_terminal_is(width):
    findings = made_findings(SearchSpace(), [0.0071, 0.5], COCO[0], latency=True)
    others = dict(zip(COCO[1:], np.linspace(0.1234, 0.2345, 5), strict=True))
    evaluated = [dataclasses.replace(e, metrics=e.metrics | others) for e in findings.evaluated]
    findings = ShownFindings.of(dataclasses.replace(findings, evaluated=tuple(evaluated)))
    shown = terminal(findings, width)
    assert max(map(len, shown.splitlines())) <= width
    rows = [line.strip("│").split("│") for line in shown.splitlines() if line.startswith("│")]
    assert [row[2].strip() for row in rows] == ["0.5000", "0.0071"]
    assert ("0.1234" in shown) == ("search.html" not in shown) == (width >= 140)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([61.5, 60.25], ["61.50", "60.25"]),
        ([10.0, 9.0], ["10", "9"]),
        ([0.0, 0.0], ["0", "0"]),
        ([0.012345, 0.5], ["0.0123", "0.5000"]),
        ([1e-7, 2e-7], ["1e-07", "2e-07"]),
        ([-3.25, float("nan")], ["-3.25", "nan"]),
        ([123456.5, 1.0], ["123456", "1"]),
    ],
)
def test_numbers_of_a_column_line_up(space, values, expected):
    findings = made_findings(space, values, "score")
    column = columns(findings, findings.evaluated)[0]
    assert list(column.texts) == expected


def test_costs_have_one_unit_and_latency_is_in_milliseconds(space):
    findings = made_findings(space, [(1.0, 0.9995e-3), (2.0, 22e-3)], ["score", "latency"])
    by_name = {column.name: column for column in columns(findings, findings.evaluated)}
    assert by_name["latency"].texts == ("1ms", "22ms")
    assert by_name["latency"].better == "min"
    assert {text[-1] for text in by_name["macs"].texts} <= {"M", "k"}
    assert list(by_name) == ["score", "latency", "params", "macs"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (65, "1 min 5 s"), (7384, "2 h 3 min")]
)
def test_durations(seconds, text):
    assert in_words(seconds) == text


NAMES = [
    "x[/red]",
    "[bold]",
    "a\x1b[2Jb",
    "bell\x07",
    "nul\x00",
    "$x_{$",
    "\\frac",
    "</svg>",
    "a\nb",
]


def test_no_name_ends_a_table_a_page_or_a_picture(space, tmp_path):
    def named(name):
        return lambda e: dataclasses.replace(e, metrics={**e.metrics, name: 1.0})

    # Each as metric, objective and path; one report of all of them, which takes its time.
    findings = made_findings(space, [tuple(range(len(NAMES))), tuple(range(len(NAMES)))], NAMES)
    evaluated = findings.evaluated
    for name in NAMES:
        evaluated = tuple(map(named(f"other {name}"), evaluated))
    checkpoint = f"/none/{''.join(NAMES)}\udcff"
    findings = dataclasses.replace(findings, evaluated=evaluated, checkpoint=checkpoint)
    shown = terminal(best_table(findings)).replace("\n", "")
    assert not [c for c in shown if not c.isprintable()]
    assert "x[/red]" in [column.header.plain for column in best_table(findings).columns[2:4]]
    Report(findings, tmp_path).write()
    page = (tmp_path / "search.html").read_text()
    assert not {c for c in page if not c.isprintable()} - {"\n"}
    assert "a\\x1b[2Jb" in page
    assert "</svg> of" not in page
    assert json.loads((tmp_path / "best.json").read_text())["checkpoint"] == checkpoint
