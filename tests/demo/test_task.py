"""The demo of a search on the task: what its fine-tunings leave, and what it says of them."""

import dataclasses
import json

import pytest
from conftest import REPOSITORY
from rich.console import Console
from tasks import trained

from pinas_mm.data.digits import prepare
from pinas_mm.demo.fine_tune import SUPERNET, TUNED, fine_tune
from pinas_mm.demo.jobs import training
from pinas_mm.demo.settings import sign
from pinas_mm.demo.task import DRAWN, PROBE, TASK, TASKS, FineTuning, TaskDemo, draw, table, texts
from pinas_mm.engine.config import read_config
from pinas_mm.errors import UserError
from pinas_mm.search.report.figures import to_png


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_each_architecture_is_handed_over_trained_and_tested_once(task, tmp_path, monkeypatch):
    list(prepare(tmp_path / "data", ["coco", "ade20k"], train=12, val=4))
    monkeypatch.setenv("PINAS_DATA", str(tmp_path / "data"))
    config = tmp_path / "all_images.py"
    config.write_text(f'_base_ = ["{REPOSITORY / task.config}"]\nsearch = dict(images=None)\n')
    trained(read_config(str(config)), tmp_path / "supernet.pth")
    arguments = str(config), str(tmp_path / "supernet.pth"), ["02-13-24", "32-20-10"], [0, 1], 1
    fine_tune(*arguments, tmp_path / "out")
    scores = json.loads((tmp_path / "out" / SUPERNET).read_text())
    assert list(scores) == ["02-13-24", "32-20-10"]
    assert all(task.metric in metrics for metrics in scores.values())
    files = sorted((tmp_path / "out").glob(f"*/{TUNED}"))
    assert [file.parent.name for file in files] == [
        f"{arch}_seed{seed}" for arch in ("02-13-24", "32-20-10") for seed in (0, 1)
    ]
    assert all(task.metric in json.loads(file.read_text()) for file in files)
    assert FineTuning("", (), tmp_path / "out", 4).completed() == 4
    # One that was lost is made again, and no other.
    times = [file.stat().st_mtime_ns for file in files]
    before = files[0].read_text()
    files[0].unlink()
    fine_tune(*arguments, tmp_path / "out")
    assert files[0].read_text() == before
    assert [file.stat().st_mtime_ns for file in files[1:]] == times[1:]


def findings():
    """Of two tasks: the task's winner is the best, the random ones lie between 10 and 24."""
    archs = [f"000{n}" for n in range(3)] + [f"111{n}" for n in range(3)] + ["2222", "3333"]
    scores = {arch: float(n) for n, arch in enumerate([*archs, "02-13-24", "32-20-10"])}
    tuned = {arch: [10 + 2 * n, 11 + 2 * n, 12 + 2 * n] for n, arch in enumerate(scores)}
    kinds = {PROBE: ["02-13-24"], TASK: ["32-20-10"], DRAWN: archs}
    kendall = dict(value=1.0, low=0.9, high=1.0)
    one = dict(archs=kinds, supernet=scores, tuned=tuned, kendall=kendall)
    return dict(tasks={task.name: one for task in TASKS})


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """Of seed 0; it is broken off as it begins with its images, or shown."""

    def prepare(data):
        raise RuntimeError("broken off")

    monkeypatch.setattr("pinas_mm.demo.task.prepare", prepare)
    monkeypatch.setattr("pinas_mm.demo.task.task_page", lambda work_dir, found: "")
    return TaskDemo(tmp_path / "work", tmp_path / "demo", tmp_path / "data")


def test_a_work_dir_is_of_one_seed(demo):
    other = dataclasses.replace(demo, seed=1)
    said = "work was begun with seed 0: for seed 1 give another --work-dir, or remove it"
    with pytest.raises(RuntimeError, match="broken off"):
        demo.run()
    with pytest.raises(UserError, match=said):
        other.run()
    with pytest.raises(RuntimeError, match="broken off"):
        demo.run()

    found = findings() | dict(seeds=[0], minutes=1, resumed=False)
    (demo.work_dir / "results.json").write_text(json.dumps(found))
    with pytest.raises(UserError, match=said):
        other.run()
    assert demo.run() == found


def test_the_supernet_is_the_plain_demos(demo):
    folder = demo.demo / "seed0" / "supernet"
    longer = training("", "configs/demo/digits_supernet_full.py", folder, 0)
    sign(folder, longer.settings)
    (folder / "finished").touch()
    with pytest.raises(UserError, match=r"supernet was begun with .*: for .* give another --demo"):
        demo.run()
    assert not list(demo.work_dir.iterdir())


def test_what_was_made_of_one_supernet_is_not_taken_for_anothers(demo):
    for chain in demo._searches():
        sign(chain[0].work_dir, chain[0].settings)
    with pytest.raises(RuntimeError, match="broken off"):
        demo.run()
    with pytest.raises(UserError, match=r"checkpoint=\S+/demo/seed0/supernet: for .*/elsewhere/"):
        dataclasses.replace(demo, demo=demo.demo / "elsewhere").run()


def test_what_is_said():
    console = Console(width=250, record=True)
    console.print(table(findings()), *texts(findings()))
    text = console.export_text()
    assert "02-13-24: 27.0 ± 0.6" in text
    assert "32-20-10: 29.0 ± 0.6" in text
    assert "mean of 8: 18.0 ± 1.7" in text
    assert text.count("Kendall tau 1.00 (0.90 to 1.00) over 10 architectures") == 2


def test_what_is_drawn():
    figure = draw(findings())
    for axis, task in zip(figure.axes, TASKS, strict=True):
        assert task.title in axis.get_title(loc="left")
        points = sorted(
            tuple(line.get_xydata()[0]) for line in axis.lines if len(line.get_xydata()) == 1
        )
        assert points == [(8.0, 27.0), (9.0, 29.0)]
    assert to_png(figure).startswith(b"\x89PNG")
