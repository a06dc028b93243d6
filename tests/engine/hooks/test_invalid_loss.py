"""Losses and weights of real runners are watched."""

import math
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub

from pinas_mm.engine.hooks.invalid_loss import InvalidLossHook
from pinas_mm.errors import UserError


def test_weights_that_are_no_numbers_are_not_saved(runner, tmp_path):
    run = runner()
    run.train()
    with torch.no_grad():
        run.model.backbone.layer1[0][2].conv1.weight[0, 0] = math.inf
    with pytest.raises(UserError, match=r"conv1\.weight is not finite after iteration 4.*epoch_1"):
        run.save_checkpoint(str(tmp_path), "poisoned.pth")
    assert not list(tmp_path.glob("poisoned*"))


class Masked(torch.nn.Module):
    """With infinities of its own, numbers that are none, and a state that is no tensor."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(2)
        self.register_buffer("mask", torch.full((3, 3), -math.inf).triu(1))
        self.register_buffer("order", torch.arange(3))

    def get_extra_state(self):
        return dict(calls=1)


@pytest.mark.parametrize("name", [None, "norm.weight", "norm.running_var"])
def test_infinities_that_were_there_when_training_began_stop_nothing(name):
    run = SimpleNamespace(model=Masked(), iter=7, message_hub=MessageHub.get_instance("masked"))
    hook = InvalidLossHook()
    hook.before_train(run)
    state = run.model.state_dict()
    if name is None:
        hook.before_save_checkpoint(run, dict(state_dict=state))
        return
    state[name][1] = math.nan
    with pytest.raises(UserError, match=f"^{name} is not finite after iteration 7"):
        hook.before_save_checkpoint(run, dict(state_dict=state))


def test_a_loss_that_is_no_number_names_iteration_and_remedy(runner):
    run = runner(**{"default_hooks.checkpoint.interval": 5})
    original = run.model.loss
    run.model.loss = lambda *args: {"loss": original(*args)["loss"] * math.inf}
    with pytest.raises(UserError, match="loss is inf at iteration 1; no checkpoint was due yet"):
        run.train()
