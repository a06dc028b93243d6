"""A small supernet, its checkpoint as training leaves it, and configs that go with it."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from pinas_mm.models import PiNASSupernet

CONFIGS = Path(__file__).resolve().parent / "configs"


def shaken(module):
    """The module with every weight and statistic its own, so that no mix-up goes unseen."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                drawn = torch.rand(value.shape, generator=generator)
                value.copy_(drawn + 0.5 if "var" in name or "bn" in name else drawn - 0.5)
    return module.eval()


@pytest.fixture(scope="session")
def supernet(space):
    """In evaluation mode; not to be changed."""
    return shaken(PiNASSupernet(space))


@pytest.fixture
def checkpoint(supernet, tmp_path):
    """The supernet as a training checkpoint has it, beside a teacher of other weights."""
    inner = supernet.state_dict()
    state = {f"backbone.{name}": value for name, value in inner.items()}
    state |= {f"teacher.backbone.{name}": value + 1 for name, value in inner.items()}
    state["neck.fc.weight"] = torch.zeros(3)
    path = tmp_path / "epoch_1.pth"
    torch.save({"state_dict": state, "meta": {"epoch": 1}}, path)
    return path


@pytest.fixture
def config(digits, monkeypatch):
    """Reads a small config whose data are the digits."""
    monkeypatch.setenv("PINAS_DATA", str(digits))
    return lambda name: Config.fromfile(CONFIGS / name)


@pytest.fixture
def classifier_config(config):
    """Of an ordinary classifier with architecture 31-2 of the small space."""
    return config("small_classifier.py")
