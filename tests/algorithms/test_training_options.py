"""What mmengine, mmdet and mmseg can do with a training or a test, around a SinglePath."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper, build_optim_wrapper
from single_paths import Recording, gradients, single_path
from torch.nn.modules.batchnorm import _BatchNorm
from whole_models import detections, detector, segmentor, segments

from pinas_mm.engine import AmpOptimWrapper
from pinas_mm.models.batch_norm import Statistics, batch_norms
from pinas_mm.registry import MODELS

ARCH = "01-2"
KINDS = pytest.mark.parametrize(
    ("config", "data"), [(detector, detections), (segmentor, segments)], ids=["mmdet", "mmseg"]
)


def on_path(model, arch):
    """Names of the parameters that a step along a path trains."""
    supernet = model.backbone
    running = {p for module in supernet.path_modules(arch) for p in module.parameters()}
    idle = set(supernet.parameters()) - running
    return {name for name, p in model.named_parameters() if p not in idle}


def gradients_of_the_loss(model, batch, arch):
    """Those of one path's loss, computed without a step."""
    twin = copy.deepcopy(model)
    loss, _ = twin.parse_losses(twin(**twin.data_preprocessor(batch, True), mode="loss", arch=arch))
    loss.backward()
    return gradients(twin)


@KINDS
def test_mixed_precision(space, at_iteration, config, data):
    model = single_path(config(space), torch.float32)
    at_iteration(0, 1)
    (arch,) = model.step_paths(0, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = gradients_of_the_loss(model, data(), arch)
    precisions = []
    model.backbone.conv1[0].register_forward_hook(lambda *call: precisions.append(call[2].dtype))
    optimizer = Recording(model)
    log = model.train_step(data(), AmpOptimWrapper(optimizer=optimizer, dtype="bfloat16"))
    assert precisions == [torch.bfloat16]
    assert all(torch.as_tensor(value).isfinite().all() for value in log.values())
    (found,) = optimizer.steps
    assert set(found) == on_path(model, arch) == set(expected)
    for name, value in found.items():
        assert value.dtype == torch.float32
        assert value.isfinite().all(), name
        assert (value - expected[name]).norm() <= 0.05 * expected[name].norm() + 1e-3, name


@KINDS
def test_accumulated_steps_are_the_mean_of_their_iterations_paths(
    space, at_iteration, config, data
):
    model = single_path(config(space), torch.float32)
    paths = [path for number in range(2) for path in model.step_paths(0, number)]
    assert paths[0] != paths[1]
    # The second follows the first's statistics, which no gradient depends on.
    each = [gradients_of_the_loss(model, data(), path) for path in paths]
    optimizer = Recording(model)
    wrapper = OptimWrapper(optimizer, accumulative_counts=2)
    for number in range(2):
        at_iteration(0, number)
        model.train_step(data(), wrapper)
        assert len(optimizer.steps) == number
    (found,) = optimizer.steps
    assert set(found) == each[0].keys() | each[1].keys()
    for name, value in found.items():
        mean = sum(one[name] for one in each if name in one) / 2
        torch.testing.assert_close(value, mean, rtol=1e-4, atol=1e-5, msg=name)


@KINDS
def test_frozen_stages_stay_as_they_are(space, at_iteration, config, data):
    model = single_path(config(space, frozen_stages=1), torch.float32)
    supernet = model.backbone
    frozen = [*supernet.stem_modules, supernet.layer1]
    before = copy.deepcopy(model.state_dict())
    optimizer = Recording(model, lr=0.1)
    at_iteration(0, 2)
    (arch,) = model.step_paths(0, 2)
    model.train_step(data(), OptimWrapper(optimizer))
    (found,) = optimizer.steps
    still = {p for module in frozen for p in module.parameters()}
    names = {name for name, parameter in model.named_parameters() if parameter in still}
    assert set(found) == on_path(model, arch) - names
    assert names
    changed = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert not [name for name in changed if name.startswith(("backbone.conv1", "backbone.bn1"))]
    assert not [name for name in changed if name.startswith("backbone.layer1")]
    counted = {norm for norm in batch_norms(model) if int(norm.num_batches_tracked)}
    assert counted
    assert not counted & set(batch_norms(*frozen))


@KINDS
def test_options_of_single_parameters(space, config, data):
    model = single_path(config(space), torch.float32)
    options = dict(custom_keys=dict(backbone=dict(lr_mult=0.1)), norm_decay_mult=0.0)
    wrapper = build_optim_wrapper(
        model,
        dict(optimizer=dict(type="SGD", lr=1.0, weight_decay=0.01), paramwise_cfg=options),
    )
    groups = wrapper.optimizer.param_groups
    found = [(p, group["lr"], group["weight_decay"]) for group in groups for p in group["params"]]
    assert len(found) == len(list(model.parameters()))
    ours = set(model.backbone.parameters())
    norms = {
        parameter
        for module in model.modules()
        if isinstance(module, (_BatchNorm, torch.nn.GroupNorm))
        for parameter in module.parameters()
    }
    assert norms - ours
    for parameter, rate, decay in found:
        assert rate == pytest.approx(0.1 if parameter in ours else 1.0)
        # mmengine looks at norms only where no key fits.
        assert decay == (0.0 if parameter in norms - ours else 0.01)


def flipped(batch, kind):
    """The views of a batch that ``TestTimeAug`` gives: as it is, and turned left to right."""
    views = []
    for flip in (False, True):
        samples = copy.deepcopy(batch["data_samples"])
        for sample in samples:
            sample.set_metainfo(dict(flip=flip, flip_direction="horizontal", img_path=""))
            if kind is detector:
                sample.set_metainfo(dict(scale_factor=(1.0, 1.0), ori_shape=sample.img_shape))
        images = [image.flip(-1) if flip else image for image in batch["inputs"]]
        views.append(dict(inputs=images, data_samples=samples))
    return {key: [view[key] for view in views] for key in views[0]}


AUGMENTED = {
    detector: dict(
        type="mmdet.DetTTAModel",
        tta_cfg=ConfigDict(nms=dict(type="nms", iou_threshold=0.5), max_per_img=9),
    ),
    segmentor: dict(type="mmseg.SegTTAModel"),
}


@KINDS
def test_augmentation_in_the_test(space, config, data):
    model = single_path(config(space), torch.float32).eval()
    # Features of mean 0, so that not all pixels are of one class.
    Statistics(model, lambda batch: model.test_step(batch, ARCH), [data()]).write()

    @torch.no_grad()
    def predicted(inner, arch):
        augmented = MODELS.build(dict(AUGMENTED[config], module=inner))
        with model.backbone.on(arch):
            samples = augmented.test_step(flipped(data(), config))
        if config is segmentor:
            return [sample.pred_sem_seg.data for sample in samples]
        found = [sample.pred_instances for sample in samples]
        return [torch.cat([f.bboxes, f.scores[:, None]], dim=1) for f in found]

    # As around the library's model, which knows nothing of paths.
    for arch in (ARCH, "32-0"):
        for value, expected in zip(
            predicted(model, arch), predicted(model.model, arch), strict=True
        ):
            assert len(value)
            assert torch.equal(value, expected)
    assert not torch.equal(predicted(model, ARCH)[0], predicted(model, "32-0")[0])


def test_what_a_single_path_has_not_is_the_models(space):
    model = single_path(segmentor(space), torch.float32)
    assert model.decode_head is model.model.decode_head
    assert model.out_channels == 3
    assert model.backbone is model.model.backbone
    assert not hasattr(model, "bbox_head")
    with pytest.raises(
        AttributeError, match="'EncoderDecoder' object has no attribute 'bbox_head'"
    ):
        _ = model.bbox_head
    assert copy.deepcopy(model).decode_head is not model.decode_head
