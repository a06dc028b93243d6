"""Processes that work on one record: they end with the one that started them, in order."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import wait_for

from pinas_mm.search.workers import helpers

# A worker that says what is done with it, and the process that starts it.
WORKER = """
import sys, time
from pinas_mm.search import workers
workers.LAST = 1.0
with workers.stoppable(follows=sys.argv[2] == "follows"):
    open(sys.argv[1] + ".started", "w").close()
    try:
        while True:
            time.sleep(0.05)
    finally:
        open(sys.argv[1] + ".released", "w").close()
"""
PARENT = """
import subprocess, sys, time
worker = subprocess.Popen([sys.executable, *sys.argv[1:]])
print(worker.pid, flush=True)
time.sleep(100)
"""


@pytest.fixture
def family(tmp_path):
    """Starts a process that starts a worker: (process, the worker's number, its mark)."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    pids = []

    def start(follows: str):
        mark = tmp_path / follows
        command = [sys.executable, "-c", PARENT, script, mark, follows]
        parent = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        pids.append(int(parent.stdout.readline()))
        wait_for(Path(f"{mark}.started").exists)
        return parent, pids[-1], Path(f"{mark}.released")

    yield start
    for pid in pids:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
def test_a_worker_ends_with_the_one_that_started_it_or_by_order(family):
    follower, one, released = family("follows")
    keeper, other, kept = family("stays")
    for parent in (follower, keeper):
        parent.kill()
        parent.wait()
    wait_for(lambda: not alive(one))
    assert released.exists()
    time.sleep(1.5)
    assert alive(other)
    assert not kept.exists()
    os.kill(other, signal.SIGTERM)
    wait_for(lambda: not alive(other))
    assert kept.exists()


@pytest.mark.parametrize(
    ("go_on", "end"), [(False, "stop"), (True, "go on until the search is done")]
)
def test_what_becomes_of_workers_is_said(printed, tmp_path, go_on, end):
    printed()
    with helpers(["-c", "pass"], 2, tmp_path, go_on):
        pass
    said = printed()
    assert re.search(rf"2 more workers \(processes \d+, \d+; {re.escape(str(tmp_path))}/\)", said)
    assert f"where this process is killed they {end}" in said
