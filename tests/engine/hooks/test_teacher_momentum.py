"""The schedule of the teacher's momentum, in real runners."""

import math

import pytest
from mmengine.logging import MessageHub

from pinas_mm.engine.hooks.teacher_momentum import TeacherMomentumHook
from pinas_mm.errors import UserError


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
