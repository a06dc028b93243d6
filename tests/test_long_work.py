"""Signs of life of a work that may take minutes."""

from types import SimpleNamespace

import pytest
from conftest import NAMES
from mmengine.logging import MMLogger

from pinas_mm import long_work
from pinas_mm.long_work import LongWork


@pytest.fixture
def tell(monkeypatch, tmp_path):
    """Tells a work's shares at seconds; returns the lines logged."""
    now, log = [0.0], tmp_path / "log"
    monkeypatch.setattr(long_work, "time", SimpleNamespace(monotonic=lambda: now[0]))
    MMLogger.get_instance(next(NAMES), log_file=str(log))

    def run(progress, shares) -> list[str]:
        for now[0], share in shares:
            progress(share)
        return log.read_text().splitlines()

    return run


def test_long_work_says_how_long_it_will_take(tell):
    progress = LongWork("retrieval, pairs", 1_000_000)
    lines = tell(progress, [(float(s), (s + 1) / 1_000_000) for s in range(130)])
    assert len(lines) == 3
    assert lines[0].endswith("retrieval, pairs: 6 of 1,000,000 after 5 s, about 231 h 28 min left")


def test_short_work_and_the_end_say_nothing(tell):
    shares = [(float(s), s / 5) for s in range(5)]
    assert not tell(LongWork("loading"), [*shares, (9.0, 1.0)])


def test_a_supernets_validation_and_retrieval_say_how_far_they_are(runner, capfd, monkeypatch):
    monkeypatch.setattr(long_work, "FIRST", 0)
    monkeypatch.setattr(long_work, "BETWEEN", 0)
    probe = {"model.model.backbone.init_cfg": None}
    for name, options, said in (
        ("small_linear.py", probe, "statistics of 2 architectures, batches: 1 of 4"),
        ("small_linear.py", probe, "val, batches of 2 architectures: 3 of 4"),
        ("small_supernet.py", {}, "retrieval, pairs of paths: 1 of 2"),
    ):
        run = runner(name, **options)
        capfd.readouterr()
        run.val()
        assert said in "".join(capfd.readouterr())
