"""Fused SGD of networks of which a step runs a part: PyTorch's plain numbers."""

import copy

import pytest
import torch
from torch import nn

from pinas_mm.engine import SGD, AdamW, optimizers
from pinas_mm.errors import UserError
from pinas_mm.registry import OPTIMIZERS


def layers():
    torch.manual_seed(0)
    made = nn.ModuleList([nn.Conv2d(6, 8, 3), nn.Linear(5, 4), nn.Conv2d(8, 8, 1)])
    return made.to(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "options",
    [
        dict(momentum=0.9, weight_decay=0.1),
        dict(momentum=0.9, nesterov=True, weight_decay=0.1),
        dict(momentum=0.9, maximize=True),
        dict(),
    ],
)
def test_what_a_step_does_not_run_stays_and_all_else_moves_as_in_pytorchs(options):
    ours, plain = layers(), layers()
    fused = SGD(ours.parameters(), lr=0.1, fused=True, **options)
    each = torch.optim.SGD(plain.parameters(), lr=0.1, foreach=False, **options)
    # Layers of each step: some meet their first gradient later than others.
    for step, ran in enumerate([(0,), (0, 1), (2,), (0, 1, 2)]):
        before = [copy.deepcopy(layer.state_dict()) for layer in ours]
        for net, optimizer in ((ours, fused), (plain, each)):
            random = torch.Generator().manual_seed(step)
            optimizer.zero_grad()
            for number in ran:
                for parameter in net[number].parameters():
                    parameter.grad = torch.empty_like(parameter).normal_(generator=random)
            optimizer.step()
        for number, (layer, old) in enumerate(zip(ours, before, strict=True)):
            moved = [not torch.equal(value, old[name]) for name, value in layer.named_parameters()]
            assert moved == [number in ran] * 2
        torch.testing.assert_close(ours.state_dict(), plain.state_dict(), rtol=1e-6, atol=1e-7)
    again = SGD(ours.parameters(), lr=1.0, fused=True, **options)
    again.load_state_dict(fused.state_dict())
    torch.testing.assert_close(again.state_dict()["state"], each.state_dict()["state"])


@pytest.mark.parametrize(("ours", "theirs"), [(SGD, torch.optim.SGD), (AdamW, torch.optim.AdamW)])
def test_where_it_cannot_fuse_it_does_the_same(monkeypatch, ours, theirs):
    monkeypatch.setattr(optimizers, "can_fuse", lambda kind, devices: False)
    one, other = layers(), layers()
    weights = [dict(params=one[0].parameters(), lr=0.2), dict(params=list(one[1:].parameters()))]
    made = ours(weights, lr=0.1, weight_decay=0.1, fused=True)
    assert not any(group.get("fused") for group in made.param_groups)
    groups = [dict(params=other[0].parameters(), lr=0.2), dict(params=other[1:].parameters())]
    plain = theirs(groups, lr=0.1, weight_decay=0.1)
    for net, optimizer in ((one, made), (other, plain)):
        for parameter in net.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    assert all(map(torch.equal, one.parameters(), other.parameters()))


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [(SGD, torch.optim.SGD, dict(momentum=0.9)), (AdamW, torch.optim.AdamW, {})],
)
@pytest.mark.parametrize("weights", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("gradients", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("fused", [True, False])
def test_elements_are_moved_by_their_own_gradients_whatever_the_layout(
    ours, theirs, options, weights, gradients, fused
):
    one, other = (torch.zeros(8, 6, 3, 2).contiguous(memory_format=weights) for _ in range(2))
    moved, plain = ours([one], lr=0.1, fused=fused, **options), theirs([other], lr=0.1, **options)
    for step in range(3):
        random = torch.Generator().manual_seed(step)
        gradient = torch.randn(one.shape, generator=random).contiguous(memory_format=gradients)
        one.grad, other.grad = gradient, gradient.clone()
        moved.step()
        plain.step()
        # As where a checkpoint's state was in another layout.
        saved = copy.deepcopy(moved.state_dict())
        for name, value in saved["state"][0].items():
            if value is not None and value.ndim == 4:
                saved["state"][0][name] = value.contiguous(memory_format=gradients)
        moved.load_state_dict(saved)
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
    assert one.is_contiguous(memory_format=weights)


def test_configs_know_it_and_dampening_is_refused():
    config = dict(type="pinas_mm.SGD", params=layers().parameters(), lr=0.1, fused=True)
    assert type(OPTIMIZERS.build(config)) is SGD
    config = dict(type="pinas_mm.AdamW", params=layers().parameters(), fused=True)
    assert type(OPTIMIZERS.build(config)) is AdamW
    with pytest.raises(UserError, match="fused=True and a dampening"):
        SGD(layers().parameters(), lr=0.1, momentum=0.9, dampening=0.5, fused=True)
