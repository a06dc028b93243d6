"""Reports written by another process: the same files, and no end that leaves it behind."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from made_findings import made_findings
from test_report import files

from pinas_mm.errors import UserError
from pinas_mm.search.report.beside import ReportProcess
from pinas_mm.search.report.report import Report

pytestmark = pytest.mark.slow

# A script as people write them: without a guard around what it does.
SCRIPT = """
import sys, time
from pinas_mm.search.report.beside import ReportProcess
from pinas_mm.search.report.report import Report
with open(sys.argv[1], "a") as file:
    print("trained", file=file)
beside = ReportProcess()
beside.write(Report(None, sys.argv[2]))
print(beside._process.pid, flush=True)
time.sleep(float(sys.argv[3]))
try:
    beside.wait()
except Exception as error:
    print(error)
"""


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "search.py"
    file.write_text(SCRIPT)

    def start(seconds):
        command = [sys.executable, file, tmp_path / "trained", tmp_path / "report", str(seconds)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    return start


def test_it_writes_what_this_process_would(space, tmp_path):
    findings = made_findings(space, [0.5, 0.9, 0.7], "score")
    beside = ReportProcess()
    beside.write(Report(findings, tmp_path))
    beside.wait()
    beside.wait()
    written = files(tmp_path)
    # The page names its folder.
    shutil.rmtree(tmp_path)
    Report(findings, tmp_path).write()
    assert written == files(tmp_path)


def test_faults_are_told_once_and_the_next_report_is_written(space, tmp_path):
    # More than a pipe holds.
    findings = made_findings(space, [0.5, 0.9, 0.7], "score")
    findings = dataclasses.replace(findings, checkpoint="x" * 300_000)
    (tmp_path / "file").touch()
    beside = ReportProcess()
    beside.write(Report(findings, tmp_path / "file"))
    with pytest.raises(UserError, match=r"file.*: the search goes on"):
        beside.wait()
    beside.write(Report(findings, tmp_path / "fine"))
    os.kill(beside._process.pid, signal.SIGKILL)
    with pytest.raises(UserError, match=r"cannot be written now .*ended with status -9"):
        beside.wait()
    beside.write(Report(findings, tmp_path / "again"))
    beside.wait()
    assert (tmp_path / "again" / "search.html").exists()


def test_a_script_is_not_run_again(script, tmp_path):
    out, _ = script(0).communicate(timeout=120)
    assert "the report cannot be written now" in out
    assert (tmp_path / "trained").read_text() == "trained\n"


def test_it_ends_with_a_search_that_is_killed(script):
    search = script(60)
    process = int(search.stdout.readline())
    search.kill()
    search.wait()
    for _ in range(600):
        if not _runs(process):
            return
        time.sleep(0.1)
    raise AssertionError(f"{process} still runs")


def _runs(process):
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
