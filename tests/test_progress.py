"""Long work says how far it is; short work says nothing."""

import re

import pytest
from conftest import NAMES
from mmengine.logging import MMLogger

from pinas_mm.progress import Progress


@pytest.mark.parametrize(("every", "lines"), [(0.0, 3), (60.0, 0)])
def test_lines_and_the_time_left(capfd, every, lines):
    MMLogger.get_instance(next(NAMES))
    progress = Progress("batches", 4, every)
    for _ in range(4):
        progress.step()
    said = re.findall(r"batches: (\d) of 4, 0:00:00 left", "".join(capfd.readouterr()))
    assert said == list("123"[:lines])


def test_a_supernets_validation_and_retrieval_say_how_far_they_are(runner, capfd, monkeypatch):
    monkeypatch.setattr(Progress.__init__, "__defaults__", (0.0,))
    probe = {"model.model.backbone.init_cfg": None}
    for name, options, said in (
        ("small_linear.py", probe, "statistics of 2 architectures: batches: 1 of 4"),
        ("small_linear.py", probe, "val: batches of 2 architectures: 3 of 4"),
        ("small_supernet.py", {}, "retrieval: pairs of paths: 1 of 2"),
    ):
        run = runner(name, **options)
        capfd.readouterr()
        run.val()
        assert said in "".join(capfd.readouterr())
