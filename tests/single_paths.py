"""Small models with a supernet, in a SinglePath, and batches for them."""

import torch
from mmengine.model import BaseDataPreprocessor
from mmpretrain.structures import DataSample

from pinas_mm.algorithms import SinglePath
from pinas_mm.registry import MODELS

CLASSES = 5


def supernet(space, **backbone):
    """Config of a supernet on a space."""
    return dict(type="pinas_mm.PiNASSupernet", space=space.to_dict(), **backbone)


def image_classifier(space, **backbone):
    """Config of a classifier that takes batches of numbers as they are, in any precision."""
    return dict(
        type="mmpretrain.ImageClassifier",
        backbone=supernet(space, **backbone),
        neck=dict(type="GlobalAveragePooling"),
        head=dict(type="LinearClsHead", num_classes=CLASSES, in_channels=space.out_channels[-1]),
        data_preprocessor=BaseDataPreprocessor(),
    )


def single_path(model, dtype=torch.float64, **options) -> SinglePath:
    """A seeded model in training mode; all weights are moved, so that paths differ."""
    torch.manual_seed(0)
    built = MODELS.build(dict(type="pinas_mm.SinglePath", model=model, **options))
    built.init_weights()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return built.to(dtype).train()


def labelled(number, seed=0, side=16, dtype=torch.float64):
    """A batch for a classifier."""
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(number, 3, side, side, generator=random, dtype=torch.float64)
    labels = torch.randint(0, CLASSES, (number,), generator=random).tolist()
    samples = [DataSample().set_gt_label(label) for label in labels]
    return dict(inputs=images.to(dtype), data_samples=samples)


def gradients(model):
    """By name; of the parameters that have one."""
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


class Recording(torch.optim.SGD):
    """SGD that keeps the gradients of each of its steps.

    Attributes:
        steps: dicts of gradients by name.
    """

    def __init__(self, model, lr=0.0):
        super().__init__(model.parameters(), lr=lr)
        self._model, self.steps = model, []

    def step(self, closure=None):
        self.steps.append(gradients(self._model))
        super().step(closure)
