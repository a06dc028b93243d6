"""What is measured and shared out does not depend on Linux."""

import os

from pinas_mm import machine


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    assert machine.usable_cores() == len(os.sched_getaffinity(0))
    # As on macOS and Windows.
    monkeypatch.delattr(os, "sched_getaffinity")
    assert machine.usable_cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.usable_cores() == 1


def test_the_processor_has_a_name_without_linuxs_files(monkeypatch, tmp_path):
    assert machine.cpu_name()
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "nowhere")
    assert machine.cpu_name()
    assert set(machine.machine()) == {"cpu", "cores", "python", "torch"}
