"""A call is timed by the clock of the device that it runs on."""

import contextlib
from types import SimpleNamespace

import pytest
import torch

from pinas_mm.search.budget import timing


@pytest.mark.parametrize("device", [torch.device("cuda:1"), torch.device("cuda:0")])
def test_a_gpus_events_are_of_the_inputs_device(monkeypatch, device):
    current, seen = [torch.device("cuda:0")], []

    @contextlib.contextmanager
    def on(index):
        current.append(index)
        yield
        current.pop()

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            seen.append(("recorded", current[-1]))

        def synchronize(self):
            seen.append(("awaited", current[-1]))

        def elapsed_time(self, end):
            return 5.0  # Milliseconds.

    monkeypatch.setattr(torch.cuda, "device", on)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    maps = (SimpleNamespace(device=device),)
    found = timing._of_gpu(lambda x: seen.append(("ran", current[-1])), maps, 2)
    assert found == pytest.approx(5e-3)
    assert seen == [(what, device) for what in ("recorded", "ran", "ran", "recorded", "awaited")]
    assert current == [torch.device("cuda:0")]
