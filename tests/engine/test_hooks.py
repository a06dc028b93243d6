"""Hooks in real runners: losses and weights are watched, checkpoints load safely."""

import math
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from pinas_mm.engine.hooks import InvalidLossHook, TeacherMomentumHook
from pinas_mm.errors import UserError
from pinas_mm.weights.checkpoint import read_checkpoint


def test_checkpoints_load_without_pickle_and_bring_the_log_back(runner, tmp_path):
    first = runner()
    first.train()
    path = tmp_path / "work" / "epoch_1.pth"
    plain = read_checkpoint(path)
    assert not isinstance(plain["message_hub"]["log_scalars"]["train/loss"], HistoryBuffer)
    history = first.message_hub.get_scalar("train/loss").data
    second = runner(**{"load_from": str(path), "resume": True})
    second.load_or_resume()
    restored = second.message_hub.get_scalar("train/loss")
    assert isinstance(restored, HistoryBuffer)
    assert len(restored.data[0]) == 4
    for one, other in zip(history, restored.data, strict=True):
        assert one.tolist() == other.tolist()
    assert restored.mean(4) == first.message_hub.get_scalar("train/loss").mean(4)
    assert second.iter == 4
    for key, value in second.model.state_dict().items():
        assert torch.equal(value, plain["state_dict"][key]), key


def test_a_checkpoint_of_another_space_is_refused_by_the_runner(runner, tmp_path):
    runner().train()
    path, work_dir = str(tmp_path / "work" / "epoch_1.pth"), str(tmp_path / "other")
    space = {"model.backbone.space.stem_widths": (8, 8, 8)}
    other = runner(load_from=path, work_dir=work_dir, **space)
    with pytest.raises(UserError, match="of another shape"):
        other.load_or_resume()


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


def test_the_teachers_momentum_moves_along_a_half_cosine(runner):
    run = runner(**{"custom_hooks": [dict(type="pinas_mm.TeacherMomentumHook", end=0.99)]})
    seen = []
    original = run.model.teacher.update
    run.model.teacher.update = lambda *args: (
        (seen.append(run.model.teacher.momentum),) and (original(*args))
    )
    run.train()
    # From the configured 0.9 to 0.99 in four iterations of two updates.
    expected = [0.99 - 0.09 * (math.cos(math.pi * step / 3) + 1) / 2 for step in range(4)]
    assert seen == pytest.approx([value for value in expected for _ in range(2)])
    assert MessageHub.get_current_instance().get_scalar("train/teacher_momentum").current() == 0.99


@pytest.mark.parametrize("name", ["start", "end"])
@pytest.mark.parametrize("value", [2.0, -0.1, math.nan])
def test_a_momentum_that_a_teacher_would_refuse_is_refused(name, value):
    with pytest.raises(UserError, match=f"{name} is {value}: it must be between 0 and 1"):
        TeacherMomentumHook(**{name: value})
    assert TeacherMomentumHook(start=0, end=0).end == 0


def test_the_momentum_needs_a_mean_teacher(runner):
    run = runner(
        **{
            "custom_hooks": [dict(type="pinas_mm.TeacherMomentumHook")],
            "model.teacher": dict(_delete_=True, type="pinas_mm.SelfTeacher"),
        }
    )
    with pytest.raises(UserError, match="needs a model with a pinas_mm"):
        run.train()
    assert TeacherMomentumHook().end == 1.0
