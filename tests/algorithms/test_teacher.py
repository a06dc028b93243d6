"""The mean teacher moves what a path touches, like a plain loop over those tensors."""

import pytest
import torch
from torch.nn import functional as F

from pinas_mm.algorithms import MeanTeacher, SelfTeacher
from pinas_mm.algorithms.teacher import embed
from pinas_mm.errors import UserError


@pytest.fixture
def model(build_pinas):
    """Student and teacher with different weights and different statistics."""
    model = build_pinas()
    with torch.no_grad():
        for tensor in [*model.backbone.parameters(), *model.neck.parameters()]:
            tensor.add_(torch.randn_like(tensor))
    model.backbone(torch.randn(4, 3, 32, 32), "000")
    return model


def snapshot(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def touched(name, arch):
    """Whether a parameter, by its name, lies on a path of the small space, or in the neck."""
    parts = name.split(".")
    if parts[0].startswith("layer"):
        number = {("layer1", "0"): 0, ("layer1", "1"): 1, ("layer2", "0"): 2}[tuple(parts[:2])]
        # The shortcut's weights are shared by a block's candidates.
        return int(parts[2]) == arch[number] or "downsample" in parts
    return parts[0] in ("conv1", "bn1", "mlp")


@pytest.mark.parametrize("arch", [(0, 1, 2), (3, 3, 3)])
@pytest.mark.parametrize("momentum", [0.999, 0.5, 0.0, 1.0])
def test_an_update_is_a_loop_over_what_the_path_touches(model, arch, momentum):
    teacher = model.teacher
    teacher.momentum = momentum
    path = model.backbone.space.arch(arch)
    pairs = (teacher.backbone, model.backbone), (teacher.neck, model.neck)
    before = [[snapshot(module) for module in pair] for pair in pairs]
    teacher.update(model.backbone, model.neck, path)
    for (ours, theirs), (old, student) in zip(pairs, before, strict=True):
        statistics = "running_mean", "running_var", "num_batches_tracked"
        parameters = {name for name in ours.state_dict() if not name.endswith(statistics)}
        for name, new in ours.state_dict().items():
            if name in parameters and touched(name, arch):
                expected = momentum * old[name] + (1 - momentum) * student[name]
                # Terms that cancel leave the rounding of either order.
                torch.testing.assert_close(new, expected, rtol=1e-5, atol=1e-6)
                assert momentum == 1 or not torch.equal(new, old[name])
            else:
                assert torch.equal(new, old[name]), name
        assert all(torch.equal(value, student[n]) for n, value in theirs.state_dict().items())


def test_keys_are_the_teachers_own_unit_embeddings(model):
    images = torch.randn(4, 3, 32, 32)
    path = model.backbone.space.arch("012")
    student = snapshot(model.backbone)
    keys = model.teacher.keys(model.backbone, model.neck, images, path)
    assert keys.shape == (4, 16)
    assert not keys.requires_grad
    expected = model.teacher.neck(model.teacher.backbone(images, path))[0]
    torch.testing.assert_close(keys, F.normalize(expected.detach()))
    torch.testing.assert_close(keys.norm(dim=1), torch.ones(4))
    assert all(torch.equal(v, student[n]) for n, v in snapshot(model.backbone).items())
    other = model.backbone.space.arch("321")
    model.teacher.update(model.backbone, model.neck, other)
    moved = model.teacher.keys(model.backbone, model.neck, images, path)
    assert not torch.allclose(moved, keys)


def test_the_teacher_never_learns_by_gradient(model):
    assert not any(parameter.requires_grad for parameter in model.teacher.parameters())


def test_it_takes_over_weights_and_statistics(model):
    model.teacher.copy_student(model.backbone, model.neck)
    for ours, theirs in (
        (model.teacher.backbone, model.backbone),
        (model.teacher.neck, model.neck),
    ):
        student = snapshot(theirs)
        assert all(torch.equal(value, student[name]) for name, value in snapshot(ours).items())
    assert model.teacher.backbone.bn1.running_mean.any()
    assert model.teacher.backbone.conv1[0].weight is not model.backbone.conv1[0].weight


def test_a_fresh_algorithm_has_a_copy_of_its_student_as_teacher(build_pinas):
    model = build_pinas()
    student = snapshot(model.backbone)
    assert all(torch.equal(v, student[n]) for n, v in snapshot(model.teacher.backbone).items())


@pytest.mark.parametrize("momentum", [-0.1, 1.1])
def test_the_momentum_must_be_a_share(model, momentum):
    with pytest.raises(UserError, match="between 0 and 1"):
        MeanTeacher(model.backbone, model.neck, momentum)


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_the_student_as_its_own_teacher(model, stop_gradient):
    teacher = SelfTeacher(model.backbone, model.neck, stop_gradient)
    assert not list(teacher.parameters())
    assert not teacher.state_dict()
    path = model.backbone.space.arch("012")
    images = torch.randn(4, 3, 32, 32)
    before = snapshot(model.backbone)
    teacher.copy_student(model.backbone, model.neck)
    teacher.update(model.backbone, model.neck, path)
    assert all(torch.equal(v, before[n]) for n, v in snapshot(model.backbone).items())
    keys = teacher.keys(model.backbone, model.neck, images, path)
    torch.testing.assert_close(keys, embed(model.backbone, model.neck, images, path))
    assert keys.requires_grad != stop_gradient
