"""What PyTorch's versions call differently does the same."""

import os
import pickle

import pytest
import torch

from pinas_mm import compat


def test_autocast_on_a_cpu_is_noticed():
    assert not compat.autocast_on_cpu()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert compat.autocast_on_cpu()


def test_a_scaler_that_does_nothing():
    scaler = compat.no_scaler("cpu")
    assert not scaler.is_enabled()
    assert scaler.scale(torch.tensor(2.0)) == 2


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_can_fuse_is_what_a_step_shows(kind):
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    try:
        kind([weight], lr=0.1, fused=True).step()
        fuses = True
    except (RuntimeError, TypeError):
        fuses = False
    assert compat.can_fuse(kind, ["cpu"]) == fuses
    assert not compat.can_fuse(torch.optim.Rprop, ["cpu"])


def test_plain_attention_is_attention_in_matrix_products():
    query, key, value = torch.randn(3, 1, 2, 4, 8, generator=torch.Generator().manual_seed(0))
    with compat.plain_attention():
        given = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    weights = (query @ key.transpose(-1, -2) / 8**0.5).softmax(-1)
    torch.testing.assert_close(given, weights @ value)


def test_no_code_runs_from_a_file_whatever_the_caller_asks_for(tmp_path, monkeypatch):
    sprung = tmp_path / "sprung"

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(sprung),)

    torch.save({"trap": Trap()}, tmp_path / "trap.pth")
    torch.save({"w": torch.ones(2)}, tmp_path / "good.pth")
    monkeypatch.setenv(compat.FORCE_NOT, "1")
    with compat.weights_alone():
        with pytest.raises(pickle.UnpicklingError) as caught:
            torch.load(tmp_path / "trap.pth", weights_only=False)
        assert torch.equal(
            torch.load(tmp_path / "good.pth", weights_only=False)["w"], torch.ones(2)
        )
    assert compat.refused(caught.value) == "posix.mkdir"
    assert not sprung.exists()
    assert os.environ[compat.FORCE_NOT] == "1"
    assert compat.FORCE not in os.environ
