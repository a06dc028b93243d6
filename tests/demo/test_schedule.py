"""What is left of a demo, from committed times and from speeds that are made here."""

import contextlib
import io
import json

import pytest
from rich.console import Console

from pinas_mm.demo import alone, jobs, schedule, transfer
from pinas_mm.demo.jobs import Job, measured, run_chains
from pinas_mm.demo.run import Demo
from pinas_mm.demo.schedule import Schedule, Work
from pinas_mm.errors import UserError

BEFORE = dict(
    machine=dict(cpu="Made", cores=2),
    times=[
        dict(kind="a", total=10, seconds=100.0, done=True),
        dict(kind="b", total=5, seconds=20.0, done=True),
        dict(kind="b", total=5, seconds=30.0, done=True),
        dict(kind="b", total=50, seconds=1.0, done=False),
    ],
)
A, B = Work("a", 10), Work("b", 10)


@pytest.fixture
def demo(tmp_path):
    """The demo of two seeds with all that it can do."""
    return Demo(
        work_dir=tmp_path / "work",
        seeds=(0, 1),
        supernet="configs/demo/digits_supernet.py",
        linear="configs/demo/digits_linear.py",
        data=tmp_path / "data",
        collapse="configs/demo/digits_no_negatives.py",
        transfer_weights=(transfer.PRETRAINED, transfer.RANDOM),
    )


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""

    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    made = Clock()
    monkeypatch.setattr(schedule, "time", made)
    return made


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def plan(tmp_path, console):
    """Builds a schedule of two cores."""

    def build(steps, before=BEFORE) -> Schedule:
        return Schedule(steps, tmp_path / "times.json", before, console, cores=2)

    return build


def amounts(steps) -> dict[str, list[list[tuple[str, int]]]]:
    return {
        step: [[(work.kind, work.total) for work in chain] for chain in chains]
        for step, chains in steps.items()
    }


def test_the_committed_times_add_up_to_the_committed_minutes(demo, plan):
    found = measured("demo.json")
    one = Demo(
        demo.work_dir, [0], demo.supernet, demo.linear, demo.data, collapse=demo.collapse
    ).steps()
    planned = plan(one, found)
    assert found["machine"]["cores"] == 2
    # Not the same: a core stood idle at its end, since it did not begin with the longest.
    assert planned.left() == pytest.approx(60 * found["minutes"], rel=0.15)
    assert planned.line() == (
        f"step 1 of 7, images: about {round(planned.left() / 60)} min until all is done, if as "
        f"fast as 2 cores of an {found['machine']['cpu']} were"
    )
    # It was measured as it is today: the same works, each as much.
    works = {(row["kind"], row["total"]) for row in found["times"]}
    assert works == {work for step in amounts(one).values() for chain in step for work in chain}


def test_of_all_kinds_of_works_the_speed_is_known(demo, plan):
    assert (
        plan(demo.steps(), measured("demo.json")).left() > 2 * 60 * measured("demo.json")["minutes"]
    )


def test_works_are_planned_as_they_come_to_be(demo):
    planned = amounts(demo.steps())
    for seed in demo.seeds:
        search = demo.folder(seed) / "search"
        search.mkdir(parents=True)
        (search / "best.txt").write_text("02-13-24\n")
    folders = {seed: demo.folder(seed) for seed in demo.seeds}
    transfers = transfer.trainings(folders, demo.transfer_weights)
    trained = [job for seed, folder in folders.items() for job in alone.trainings(folder, seed)]
    made = [(job.kind, job.total) for job in (*transfers, *trained)]
    assert sorted(made) == sorted(work for (work,) in planned["transfer"])


@pytest.mark.parametrize(
    ("chains", "expected"),
    [
        ([[A]], 100),
        ([[A, A], [A]], 200),
        ([[A], [A], [A]], 200),
        # Begun in turn: the last waits for the first b.
        ([[A], [B], [A]], 150),
        ([[B], [B, B], [A]], 150),
        ([[A], [Work("unknown", 1)]], None),
    ],
)
def test_chains_share_the_cores(plan, chains, expected):
    assert plan({"one": chains}).left() == expected
    twice = plan({"one": chains, "two": [[B]]})
    assert twice.left() == (expected and expected + 50)
    twice.begin("two")
    assert twice.left() == 50


def test_own_speed_counts_and_gives_the_pace_of_the_others(plan, clock):
    planned = plan({"one": [[A]], "two": [[B]]})
    assert planned.left() == 150
    planned.begin("one")
    with planned.work("first", A):
        clock.now = 30
        assert planned.left() == 70 + 50
        planned.see("first", 0)
        planned.see("first", 1)
        assert planned.left() == 70 + 50
        clock.now = 70
        planned.see("first", 3)
        # 40 seconds for two, where it was 20: 20 for each of the seven that are left.
        assert planned.left() == 140 + 100
        clock.now = 80
        planned.see("first", 3)
        assert planned.left() == 130 + 100
        assert planned.line() == "step 1 of 2, one: about 4 min until all is done"
        clock.now = 300
    planned.begin("two")
    # All of the first took 300 seconds, where it was 100.
    assert planned.left() == 150
    with planned.work("second", B):
        clock.now = 320
        assert planned.left() == 130


def test_a_kind_nobody_measured_is_known_once_it_was_done(plan, clock):
    planned = plan({"one": [[Work("new", 2)], [Work("new", 4)]]}, before={})
    planned.begin("one")
    assert planned.line() == "step 1 of 1, one: how long all of it will take is not known yet"
    with planned.work("first", Work("new", 2)):
        clock.now = 10
    planned.begin("one", [[Work("new", 4)]])
    assert planned.left() == 20


def test_times_are_written_and_go_on_after_an_interruption(plan, clock, tmp_path):
    steps = {"one": [[A]], "two": [[B]]}
    first = plan(steps)
    first.begin("one")
    with contextlib.suppress(KeyboardInterrupt), first.work("first", A):
        clock.now = 30
        raise KeyboardInterrupt
    row = dict(step="one", name="first", kind="a", total=10, seconds=30, done=False)
    assert first.times == json.loads((tmp_path / "times.json").read_text()) == [row]
    again = plan(steps)
    again.begin("one")
    with again.work("first", A):
        assert again.left() == 70 + 50
        clock.now = 80
    assert again.times == [row | dict(seconds=80, done=True)]
    # The pace of both together: 80 seconds for what took 100.
    again.begin("two")
    assert again.left() == 40
    assert plan(steps).times == again.times


WORKS = """
import json, pathlib, time
file = pathlib.Path("FOLDER") / "now" / "vis_data" / "scalars.json"
file.parent.mkdir(parents=True)
for step in (1, 2, 3, 4):
    with file.open("a") as log:
        print(json.dumps(dict(loss=1.0, step=step)), file=log)
    time.sleep(0.2)
"""


@pytest.fixture
def job(tmp_path):
    """Builds a job that is a process of its own, which logs four steps, or fails."""

    def build(name: str, kind: str = "logs", fails: bool = False) -> Job:
        script = (
            "raise SystemExit('no')" if fails else WORKS.replace("FOLDER", str(tmp_path / name))
        )
        return Job(name, ("-c", script), tmp_path / name, 4, kind)

    return build


def test_processes_are_measured_and_where_no_terminal_is_lines_say_so(
    plan, job, console, tmp_path, monkeypatch
):
    monkeypatch.setattr(jobs, "SAY", 0.1)
    monkeypatch.setattr(jobs, "LOOK", 0.05)
    planned = plan({"images": [[A]], "all": [[job("x"), job("y")]]}, before={})
    chains = [[job("x"), job("y")]]
    run_chains(chains, tmp_path, planned, "all")
    assert [(row["name"], row["done"]) for row in planned.times] == [("x", True), ("y", True)]
    assert all(0.8 < row["seconds"] < 30 for row in planned.times)
    said = console.file.getvalue()
    assert "step 2 of 2, all: how long all of it will take is not known yet" in said
    assert "step 2 of 2, all: about 1 min until all is done" in said
    assert planned.left() == 0
    # What is done is neither run nor measured again.
    before = planned.times
    run_chains(chains, tmp_path, planned, "all")
    assert planned.times == before


def test_a_process_that_fails_is_not_done(plan, job, tmp_path):
    chains = [[job("good")], [job("bad", fails=True)]]
    planned = plan({"all": chains}, before={})
    with pytest.raises(UserError, match=r"bad failed with status 1 \(no\)"):
        run_chains(chains, tmp_path, planned, "all")
    assert not {row["name"]: row["done"] for row in planned.times}["bad"]


def test_nothing_to_run_is_no_fault(tmp_path, capsys):
    run_chains([], tmp_path)
    assert capsys.readouterr().err == ""
