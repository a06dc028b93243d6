"""Small supernets and batches of images for tests of what evaluates architectures."""

import copy

import torch
from mmengine.evaluator import Evaluator as Metrics
from mmpretrain.structures import DataSample

from pinas_mm.models.batch_norm import Statistics
from pinas_mm.registry import MODELS

CLASSES = 7


def classifier(space, **backbone):
    """A seeded linear probe whose paths differ, with statistics of no use."""
    torch.manual_seed(0)
    inner = dict(
        type="ImageClassifier",
        backbone=dict(type="pinas_mm.PiNASSupernet", space=space.to_dict(), **backbone),
        neck=dict(type="GlobalAveragePooling"),
        head=dict(type="LinearClsHead", num_classes=CLASSES, in_channels=space.out_channels[-1]),
        data_preprocessor=dict(
            type="ClsDataPreprocessor",
            num_classes=CLASSES,
            mean=[120.0, 110.0, 100.0],
            std=[60.0, 50.0, 40.0],
            to_rgb=True,
        ),
    )
    config = dict(type="pinas_mm.SinglePath", model=inner, freeze_backbone=True)
    return shaken(MODELS.build(dict(config, _scope_="mmpretrain")))


def shaken(model):
    """Moves all weights, so that zero-initialized norms do not make all paths the same."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=random))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(generator=random)
            elif name.endswith("num_batches_tracked"):
                buffer.fill_(5)
    return model.train()


def batches(*sizes, seed=0, side=16):
    """Labelled batches as a loader collates them."""
    random = torch.Generator().manual_seed(seed)
    made = []
    for size in sizes:
        images = torch.randint(0, 256, (size, 3, side, side), generator=random).byte()
        labels = torch.randint(0, CLASSES, (size,), generator=random).tolist()
        samples = [DataSample().set_gt_label(label) for label in labels]
        made.append(dict(inputs=list(images), data_samples=samples))
    return made


def plain(model, arch, calibration, images, metrics=None):
    """An architecture's metrics the long way: mmengine's, with statistics of the arch alone."""
    metrics = Metrics(metrics or [dict(type="mmpretrain.Accuracy", topk=(1, 5))])

    def run(batch):
        model.backbone(preprocessed(model, batch), arch)

    with Statistics(model.backbone, run, calibration).applied():
        was, total = model.training, 0
        model.eval()
        for batch in images:
            # In the model's precision, which its preprocessor does not know of.
            inputs = preprocessed(model, batch)
            samples = copy.deepcopy(batch["data_samples"])
            with torch.no_grad():
                outputs = model(inputs, samples, mode="predict", arch=arch)
            metrics.process(data_samples=outputs, data_batch=batch)
            total += len(inputs)
        model.train(was)
    return metrics.evaluate(total)


def preprocessed(model, batch):
    dtype = next(model.parameters()).dtype
    return model.data_preprocessor(batch, False)["inputs"].to(dtype)


def snapshot(model):
    """All that must not change: tensors, training flags, momenta, gradients wanted."""
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    momenta = [getattr(module, "momentum", None) for module in model.modules()]
    return tensors, modes, momenta, [p.requires_grad for p in model.parameters()]


def assert_unchanged(model, before):
    tensors, *rest = snapshot(model)
    assert tensors.keys() == before[0].keys()
    for name, value in tensors.items():
        assert torch.equal(value, before[0][name]), name
    assert rest == list(before[1:])
