"""A step of the algorithm equals the recipe written out with plain PyTorch."""

import copy

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn
from torch.nn import functional as F

from pinas_mm.algorithms import MeanTeacher, SelfTeacher
from pinas_mm.algorithms.teacher import embed
from pinas_mm.errors import UserError
from pinas_mm.space.paths import CrossPaths

PATHS = ["01-2", "12-3"]


def move(teacher, student, arch, momentum):
    """The teacher's stem, path and neck towards the student's, one tensor after the other."""
    for ours, theirs in (
        (teacher.conv1, student.backbone.conv1),
        (teacher.bn1, student.backbone.bn1),
        *(
            pair
            for number, choice in enumerate(arch)
            for pair in zip(
                teacher.block(number).running(choice),
                student.backbone.block(number).running(choice),
                strict=True,
            )
        ),
        (teacher.neck, student.neck),
    ):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            a.data = momentum * a.data + (1 - momentum) * b.data


def recipe(model, views):
    """Loss of a step as METHOD has it, on copies; also the teacher and the keys it enqueues."""
    model = copy.deepcopy(model)
    teacher = copy.deepcopy(model.teacher.backbone)
    teacher.neck = copy.deepcopy(model.teacher.neck)
    queries, keys = [], []
    for number, arch in enumerate([(0, 1, 2), (1, 2, 3)]):
        features = model.backbone(views[2 * number], arch)
        queries.append(F.normalize(model.neck(features)[0], dim=1))
        move(teacher, model, arch, model.teacher.momentum)
        with torch.no_grad():
            features = teacher(views[2 * number + 1], arch)
            keys.append(F.normalize(teacher.neck(features)[0], dim=1))
    loss = 0
    for query, key in ((queries[0], keys[1]), (queries[1], keys[0])):
        positive = (query * key).sum(1, keepdim=True)
        logits = torch.cat([positive, query @ model.head.pair.queue.clone()], 1) / 0.2
        loss = loss + F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long))
    loss.backward()
    return model, loss, teacher, (keys[0] + keys[1]) / 2


def randomize(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def test_a_step_is_the_recipe(build_pinas, views):
    model = build_pinas()
    randomize(model)
    student, expected, teacher, keys = recipe(model, views)
    result = model.loss(views, paths=PATHS)
    torch.testing.assert_close(result["loss"], expected)
    result["loss"].backward()
    for ours, theirs in (
        (model.backbone, student.backbone),
        (model.neck, student.neck),
    ):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert (a.grad is None) == (b.grad is None)
            if a.grad is not None:
                torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)
    neck = teacher.neck.state_dict()
    del teacher.neck
    for ours, theirs in (
        (model.teacher.backbone.state_dict(), teacher.state_dict()),
        (model.teacher.neck.state_dict(), neck),
        (model.backbone.state_dict(), student.backbone.state_dict()),
    ):
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.head.pair.queue[:, :3], keys.T)
    assert model.head.pair.queue_ptr.tolist() == [3]


def test_paths_and_views_come_from_the_running_iteration(build_pinas, at_iteration, views):
    at_iteration(3, 11)
    model = build_pinas()
    twin = copy.deepcopy(model)
    drawn = CrossPaths()(model.backbone.space, 3, 11)
    assert torch.equal(model.loss(views)["loss"], twin.loss(views, paths=drawn)["loss"])


def test_without_a_runner_paths_must_be_given(build_pinas, views):
    MessageHub.get_instance("no training")
    with pytest.raises(RuntimeError, match="paths="):
        build_pinas().loss(views)


@pytest.mark.parametrize("number", [2, 3, 5])
def test_every_path_needs_two_views(build_pinas, views, number):
    with pytest.raises(
        UserError, match=f"2 paths need 4 views .* gave {number}: set its num_views"
    ):
        build_pinas().loss((views * 2)[:number], paths=PATHS)


def test_untouched_parameters_see_neither_decay_nor_momentum(build_pinas, views):
    model = build_pinas()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    names = {name for name, _ in model.named_parameters()}
    moved = []
    for paths in (["00-0", "11-1"], ["22-2", "33-3"]):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        optimizer.zero_grad(set_to_none=True)
        model.loss(views, paths=paths)["loss"].backward()
        optimizer.step()
        moved.append({n for n, p in model.named_parameters() if not torch.equal(p, before[n])})
    for step, own in enumerate(moved):
        stem = {n for n in names if ".conv1.0." in n or n.startswith("backbone.conv1")}
        assert stem & own
        blocks = {n for n in own if n.startswith("backbone.layer")}
        choices = {n.split(".")[3] for n in blocks} - {"shortcut"}
        # Candidates 0 and 1 have momentum from the first step and still rest in the second.
        assert choices == ({"0", "1"} if step == 0 else {"2", "3"})
        assert len(blocks) > 20


@pytest.mark.parametrize(
    ("change", "views_needed"),
    [
        ({"head.cross": False}, 4),
        ({"teacher": dict(_delete_=True, type="pinas_mm.SelfTeacher")}, 4),
        ({"paths": dict(type="pinas_mm.CrossPaths", num_paths=3)}, 6),
        ({"paths": dict(type="pinas_mm.UniformPaths", num_paths=2)}, 4),
    ],
    ids=["no cross", "self teacher", "three paths", "uniform"],
)
def test_ablations_are_configs(build_pinas, at_iteration, views, change, views_needed):
    at_iteration(0, 0)
    model = build_pinas(**change)
    loss = model.loss((views * 2)[:views_needed])["loss"]
    loss.backward()
    assert loss.isfinite()
    assert model.neck.mlp[0].weight.grad.any()
    assert isinstance(model.teacher, SelfTeacher if "teacher" in change else MeanTeacher)


def test_self_teacher_without_stop_gradient_learns_on_both_sides(build_pinas, views):
    grads = []
    for stop_gradient in (True, False):
        teacher = dict(_delete_=True, type="pinas_mm.SelfTeacher", stop_gradient=stop_gradient)
        pair = dict(_delete_=True, type="pinas_mm.PiModelHead")
        model = build_pinas(**{"teacher": teacher, "head.pair": pair})
        model.loss(views, paths=PATHS)["loss"].backward()
        grads.append(model.neck.mlp[2].weight.grad)
    assert not torch.allclose(*grads)


def test_a_space_of_one_candidate_is_refused_when_building(build_pinas):
    with pytest.raises(UserError, match="CrossPaths draws 2 paths"):
        build_pinas(**{"backbone.space.candidates": [(1, 1, 64)]})


def test_embeddings_are_of_the_student_and_of_the_teacher(build_pinas, views):
    model = build_pinas().eval()
    randomize(model.teacher)
    features = nn.functional.adaptive_avg_pool2d(model.backbone(views[0], "012")[0], 1).flatten(1)
    expected = F.normalize(model.neck.mlp(features), dim=1)
    student, path = (model.backbone, model.neck), model.backbone.space.arch("01-2")
    torch.testing.assert_close(embed(*student, views[0], path), expected)
    assert not torch.allclose(model.teacher.keys(*student, views[0], path), expected)
