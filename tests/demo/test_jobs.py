"""What a demo finds of earlier ones, and a job of others in its work dir."""

import io
import json

import pytest
from rich.console import Console

from pinas_mm.demo.jobs import Job, finished, run_chains
from pinas_mm.errors import UserError

WORK = "import pathlib; open(pathlib.Path('{}', 'done'), 'a').write('{}'); raise SystemExit({})"


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def job(tmp_path):
    """Builds jobs of one work dir: each appends its word to a file there, and may fail then."""

    def build(word: str, status: object = 0) -> Job:
        folder = tmp_path / "job"
        return Job("some", ("-c", WORK.format(folder, word, status)), folder, 1)

    return build


def test_a_finished_demo_is_shown_again(tmp_path, console):
    results = tmp_path / "results.json"
    assert finished(results, console) is None
    assert not console.file.getvalue()
    results.write_text(json.dumps(dict(minutes=1)))
    assert finished(results, console) == dict(minutes=1)
    assert f"remove {tmp_path} to run it again" in console.file.getvalue()


def test_a_job_that_is_done_is_not_another_of_its_work_dir(job, tmp_path):
    first, second = job("first"), job("second")
    run_chains([[first]], tmp_path)
    assert first.done
    assert not second.done
    with pytest.raises(UserError, match=r"job was begun with command -c .*first.*: for command"):
        run_chains([[second]], tmp_path)
    run_chains([[first]], tmp_path)
    assert (first.work_dir / "done").read_text() == "first"


def test_a_job_goes_on_where_it_was_broken_off_and_no_other_does(job, tmp_path):
    # Fails once, by what is not a part of its command.
    first = job("first", f"not __import__('os').path.exists('{tmp_path / 'mended'}')")
    with pytest.raises(UserError, match="some failed with status 1"):
        run_chains([[first]], tmp_path)
    with pytest.raises(UserError, match=r"job was begun with command -c .*first.*: for command"):
        run_chains([[job("second")]], tmp_path)
    (tmp_path / "mended").touch()
    run_chains([[first]], tmp_path)
    assert first.done
    assert (first.work_dir / "done").read_text() == "firstfirst"


@pytest.mark.parametrize("left", ["finished", "output.log", "epoch_1.pth"])
def test_a_work_dir_of_an_unknown_job_is_refused(job, tmp_path, left):
    one = job("one")
    one.work_dir.mkdir()
    (one.work_dir / left).touch()
    assert not one.done
    # Before any job is run.
    other = Job("other", ("-c", "pass"), tmp_path / "other", 1)
    with pytest.raises(UserError, match=r"job does not say with which settings it was begun: give"):
        run_chains([[other], [one]], tmp_path)
    assert not other.work_dir.exists()
