"""Reports written by another process: the same files, and no end that leaves it behind."""

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
from pinas_mm.search.report.beside import Beside
from pinas_mm.search.report.report import write_report

KILLED = """
import os, signal, sys, time
from pinas_mm.search.report.beside import Beside
if __name__ == "__main__":
    beside = Beside()
    beside.write(None, sys.argv[1])  # fails at once, its process waits for the next
    print(*(process.pid for process in beside._process._processes.values()), flush=True)
    time.sleep(60)
"""


def test_it_writes_what_this_process_would(space, tmp_path):
    findings = made_findings(space, [0.5, 0.9, 0.7], "score")
    beside = Beside()
    beside.write(findings, tmp_path)
    beside.wait()
    beside.wait()
    written = files(tmp_path)
    # The page names its folder.
    shutil.rmtree(tmp_path)
    write_report(findings, tmp_path)
    assert written == files(tmp_path)


def test_faults_are_told_once_and_the_next_report_is_written(space, tmp_path):
    findings = made_findings(space, [0.5, 0.9, 0.7], "score")
    (tmp_path / "file").touch()
    beside = Beside()
    beside.write(findings, tmp_path / "file")
    with pytest.raises(UserError, match=r"file.*: the search goes on"):
        beside.wait()
    beside.write(findings, tmp_path / "fine")
    (process,) = beside._process._processes.values()
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(UserError, match=r"the report cannot be written now .*process"):
        beside.wait()
    beside.write(findings, tmp_path / "again")
    beside.wait()
    assert (tmp_path / "again" / "search.html").exists()


def test_it_ends_with_a_search_that_is_killed(tmp_path):
    script = tmp_path / "search.py"
    script.write_text(KILLED)
    search = subprocess.Popen(
        [sys.executable, script, tmp_path / "report"], stdout=subprocess.PIPE, text=True
    )
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
