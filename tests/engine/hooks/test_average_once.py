"""mmengine's EMAHook in a supernet's training: validated, saved and resumed."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.model import ExponentialMovingAverage, StochasticWeightAverage
from torch import nn

from pinas_mm.engine import AverageOnceHook
from pinas_mm.models import PiNASSupernet
from pinas_mm.weights.checkpoint import read_checkpoint

MOMENTUM = 0.25


class Noting(Hook):
    """Keeps the parameters after each step, and those that are validated."""

    priority = "LOWEST"

    def __init__(self):
        self.after_steps, self.validated = [], []

    def after_train_iter(self, runner, *args, **kwargs):
        self.after_steps.append(parameters(runner.model))

    def before_val_iter(self, runner, *args, **kwargs):
        self.validated.append(parameters(runner.model))


def parameters(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-7, msg=name)


def train(runner, folder, **options):
    """A SPOS training of four steps an epoch; returns the runner and what was noted."""
    run = runner(
        "small_linear.py",
        **{
            "model.freeze_backbone": False,
            "model.model.backbone.init_cfg": None,
            "val_cfg.archs": ["00-0"],
            "default_hooks.checkpoint.interval": 1,
            "custom_hooks": [dict(type="EMAHook", momentum=MOMENTUM)],
            "work_dir": str(folder),
            **options,
        },
    )
    noted = Noting()
    run.register_hook(noted)
    run.train()
    (hook,) = [hook for hook in run.hooks if isinstance(hook, EMAHook)]
    return run, noted, parameters(hook.ema_model.module)


def test_the_average_is_validated_saved_and_resumed(runner, tmp_path):
    whole, noted, average = train(runner, tmp_path / "whole", **{"train_cfg.max_epochs": 2})
    expected = noted.after_steps[0]
    for number, after in enumerate(noted.after_steps[1:], 1):
        expected = {name: torch.lerp(expected[name], p, MOMENTUM) for name, p in after.items()}
        if number == 3:
            assert_same(noted.validated[0], expected)
    assert len(noted.after_steps) == 8
    assert_same(noted.validated[-1], expected)
    assert_same(average, expected)
    # Validation gave the training its own weights back.
    last = parameters(whole.model)
    assert_same(last, noted.after_steps[-1])
    assert not torch.equal(last["model.head.fc.weight"], expected["model.head.fc.weight"])

    saved = read_checkpoint(tmp_path / "whole" / "epoch_2.pth")
    assert list(saved["state_dict"]) == list(whole.model.state_dict())
    names = {f"module.{name}" for name in saved["state_dict"]} | {"steps"}
    assert saved["ema_state_dict"].keys() == names
    for name, value in last.items():
        name = name.removeprefix("model.")
        if "shortcut" in name:  # State dicts have it under the candidates that share it.
            continue
        torch.testing.assert_close(saved["state_dict"][name], expected[f"model.{name}"])
        assert torch.equal(saved["ema_state_dict"][f"module.{name}"], value), name

    first = tmp_path / "broken off"
    train(runner, first, **{"train_cfg.max_epochs": 1})
    resumed = {"train_cfg.max_epochs": 2, "resume": True, "load_from": str(first / "epoch_1.pth")}
    again, _, average_again = train(runner, first, **resumed)
    for found, wanted in ((parameters(again.model), last), (average_again, average)):
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_with_buffers_shared_shortcuts_move_once_a_step_too(runner, tmp_path):
    # As RTMDet's configs have it.
    hooks = [dict(type="EMAHook", momentum=MOMENTUM, update_buffers=True)]
    _, noted, average = train(runner, tmp_path, custom_hooks=hooks)
    expected, *steps = noted.after_steps
    for after in steps:
        expected = {name: torch.lerp(expected[name], p, MOMENTUM) for name, p in after.items()}
    assert_same(noted.validated[-1], expected)
    assert_same(average, expected)
    assert any("shortcut" in name for name in average)


@pytest.mark.parametrize("update_buffers", [False, True])
@pytest.mark.parametrize("kind", [ExponentialMovingAverage, StochasticWeightAverage])
def test_averages_that_a_model_keeps_itself_move_once(space, kind, update_buffers):
    """A step from 0 to 1 moves parameters, and with them buffers, as far as each other."""
    source = PiNASSupernet(space)
    for value in source.state_dict().values():
        value.zero_()
    average = kind(source, update_buffers=update_buffers)
    model = nn.ModuleList([source, average])
    AverageOnceHook().before_train(SimpleNamespace(hooks=[], model=model))
    average.update_parameters(source)
    for value in source.state_dict().values():
        value.fill_(1)
    average.update_parameters(source)
    averaged = [*average.module.parameters()]
    averaged += [b for b in average.module.buffers() if b.is_floating_point()] * update_buffers
    moved = torch.cat([value.flatten() for value in averaged])
    assert 0 < moved[0] < 1
    assert (moved == moved[0]).all()
