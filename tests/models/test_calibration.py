"""What a calibration's forward pass draws is a function of its seed, and disturbs nothing else."""

import pytest
import torch
from torch import nn

from pinas_mm.models.calibration import calibration_pass


class Drawing(nn.Module):
    """Draws on the device of its weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.drawn = []

    def forward(self, inputs, data_samples, mode):
        self.drawn.append(torch.rand(3, device=self.weight.device).tolist())


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_seed_gives_the_same_on_every_device(device):
    model, batch = Drawing().to(device), dict(inputs=torch.zeros(1), data_samples=[])
    torch.manual_seed(1)
    expected = torch.rand(3, device=device).tolist()
    torch.manual_seed(1)
    for seed in (0, 0, 1):
        calibration_pass(model, batch, seed)
    first, again, other = model.drawn
    assert first == again != other
    assert torch.rand(3, device=device).tolist() == expected
