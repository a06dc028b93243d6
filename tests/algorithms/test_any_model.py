"""Detectors and segmentors train, predict, are averaged and save memory in a SinglePath."""

import copy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper
from single_paths import Recording, gradients, single_path
from whole_models import (
    detections,
    detector,
    masked_detections,
    rtmdet_instances,
    segmentor,
    segments,
)

from pinas_mm.analysis.parameter_shift import loss_along
from pinas_mm.errors import UserError
from pinas_mm.models.calibration import calibration_pass
from pinas_mm.search.evaluation.evaluator import Evaluator
from pinas_mm.search.evaluation.scores import CostScore, GradNormScore, NASWOTScore, SynFlowScore

ARCH, OTHER = "01-2", "32-0"
TWO = dict(type="pinas_mm.FairPaths", num_paths=2)


KINDS = pytest.mark.parametrize(
    ("config", "data"), [(detector, detections), (segmentor, segments)], ids=["mmdet", "mmseg"]
)
# The loss of one writes into its samples.
LOSSES = pytest.mark.parametrize(
    ("config", "data"),
    [(detector, detections), (segmentor, segments), (rtmdet_instances, masked_detections)],
    ids=["mmdet", "mmseg", "RTMDet-Ins"],
)


def predictions(kind, samples):
    """All numbers that were predicted."""
    if kind is segmentor:
        return [sample.seg_logits.data for sample in samples]
    found = [sample.pred_instances for sample in samples]
    return [torch.cat([f.bboxes, f.scores[:, None]], dim=1) for f in found]


@KINDS
def test_a_step_trains_what_is_on_its_path(space, at_iteration, config, data):
    model = single_path(config(space), torch.float32)
    optimizer = Recording(model)
    at_iteration(0, 3)
    (arch,) = model.step_paths(0, 3)
    log = model.train_step(data(), OptimWrapper(optimizer))
    assert len(log) > 1
    assert all(torch.as_tensor(value).isfinite().all() for value in log.values())
    (found,) = optimizer.steps
    on_path = {p for module in model.backbone.path_modules(arch) for p in module.parameters()}
    elsewhere = set(model.parameters()) - set(model.backbone.parameters())
    names = {name for name, p in model.named_parameters() if p in on_path | elsewhere}
    assert set(found) == names
    assert len(on_path) < len(set(model.backbone.parameters())) / 2
    for name, value in found.items():
        assert value.isfinite().all(), name
    learning = [name for name in found if found[name].any() and "backbone" in name]
    assert len(learning) > 15


@LOSSES
def test_several_paths_a_step_are_the_mean(space, at_iteration, config, data):
    model = single_path(config(space), torch.float32, paths=TWO)
    at_iteration(0, 0)
    twin = copy.deepcopy(model)
    batch = twin.data_preprocessor(data(), True)
    loss, expected_log = twin.parse_losses(twin(**batch, mode="loss"))
    loss.backward()
    optimizer = Recording(model)
    log = model.train_step(data(), OptimWrapper(optimizer))
    assert log.keys() == expected_log.keys()
    for name, value in log.items():
        torch.testing.assert_close(value, expected_log[name])
    assert optimizer.steps[0].keys() == gradients(twin).keys()
    for name, value in gradients(twin).items():
        torch.testing.assert_close(optimizer.steps[0][name], value, rtol=1e-4, atol=1e-5, msg=name)
    for (name, value), (_, other) in zip(model.named_buffers(), twin.named_buffers(), strict=True):
        assert torch.equal(value, other), name


@KINDS
def test_predictions_are_of_the_architecture_that_is_set_or_given(space, config, data):
    model = single_path(config(space), torch.float32).eval()
    found = {}
    for arch in (ARCH, OTHER):
        with torch.no_grad():
            with model.backbone.on(arch):
                batch = model.data_preprocessor(data(), False)
                inside = model(**batch, mode="predict")
                # As any tool would that knows nothing of supernets.
                plain = model.model.test_step(data())
                step = model.test_step(data())
            given = model.test_step(data(), arch=arch)
            validated = model.val_step(data(), arch=arch)
        found[arch] = predictions(config, inside)
        for other in (plain, step, given, validated):
            for value, expected in zip(predictions(config, other), found[arch], strict=True):
                assert torch.equal(value, expected)
    assert not torch.equal(found[ARCH][0], found[OTHER][0])
    with pytest.raises(UserError, match=r"no path to run"):
        model.test_step(data())


@KINDS
def test_an_average_of_the_weights(space, at_iteration, config, data):
    model = single_path(config(space), torch.float32)
    average = ExponentialMovingAverage(model, momentum=0.25)
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    expected = None
    for iteration in range(3):
        at_iteration(0, iteration)
        model.train_step(data(), optimizer)
        average.update_parameters(model)
        now = {name: p.detach().clone() for name, p in model.named_parameters()}
        before = now if expected is None else expected
        expected = {name: torch.lerp(before[name], p, 0.25) for name, p in now.items()}
    assert any(not torch.equal(value, now[name]) for name, value in expected.items())
    for name, parameter in average.module.named_parameters():
        torch.testing.assert_close(parameter, expected[name], msg=name)
    for (name, value), (_, own) in zip(
        model.named_buffers(), average.module.named_buffers(), strict=True
    ):
        assert torch.equal(value, own), name
    # It has a supernet of its own, and predicts.
    assert average.module.backbone is not model.backbone
    own, others = (m.eval().test_step(data(), arch=ARCH) for m in (average.module, model))
    assert not torch.equal(predictions(config, own)[0], predictions(config, others)[0])
    # Its keys are those of the model under mmengine's prefix, and load.
    assert list(average.state_dict()) == ["steps", *(f"module.{n}" for n in model.state_dict())]
    other = ExponentialMovingAverage(single_path(config(space), torch.float32))
    other.load_state_dict(average.state_dict(), strict=True)
    for name, value in average.module.state_dict().items():
        assert torch.equal(value, other.module.state_dict()[name]), name


@KINDS
@pytest.mark.parametrize("paths", [None, TWO], ids=["one path", "two paths"])
def test_recomputing_blocks_changes_no_number(space, at_iteration, config, data, paths):
    results = []
    for with_cp in (False, True):
        model = single_path(config(space, with_cp=with_cp), torch.float32, paths=paths)
        optimizer = Recording(model, lr=0.1)
        for iteration in range(2):
            at_iteration(0, iteration)
            log = model.train_step(data(), OptimWrapper(optimizer))
        results.append((log, optimizer.steps, model.state_dict()))
    (log, steps, state), (other_log, other_steps, other_state) = results
    assert log == other_log
    for ours, theirs in zip([*steps, state], [*other_steps, other_state], strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert torch.equal(value, theirs[name]), name


@KINDS
def test_zero_cost_scores_read_it(space, config, data):
    model = single_path(config(space), torch.float32)
    before = copy.deepcopy(model.state_dict())
    for score in (CostScore(), SynFlowScore(), NASWOTScore(), GradNormScore()):
        one, other = Evaluator(model, score, [], [data()]).evaluate([ARCH, OTHER])
        assert one.keys() == other.keys() == set(score.names)
        assert one != other
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_a_loss_writes_into_samples_reaches_no_other_path(space):
    model = single_path(rtmdet_instances(space), torch.float32)
    batch = model.data_preprocessor(masked_detections(), True)
    masks = [sample.gt_instances.masks for sample in batch["data_samples"]]
    alone = [
        float(loss_along(model, copy.deepcopy(batch), [model.backbone.space.arch(arch)]))
        for arch in (ARCH, OTHER)
    ]
    together = [
        float(loss_along(model, batch, [model.backbone.space.arch(arch)])) for arch in (ARCH, OTHER)
    ]
    assert together == pytest.approx(alone, rel=1e-5)
    for arch in (ARCH, OTHER):
        with model.backbone.on(arch):
            calibration_pass(model.model, batch, 0)
    assert [sample.gt_instances.masks for sample in batch["data_samples"]] == masks
    data = masked_detections()
    score = Evaluator(model, GradNormScore(), [], [data])
    assert score.evaluate([ARCH, OTHER])[1] == score.evaluate([OTHER])[0]
