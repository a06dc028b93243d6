"""Zero-cost measures as scores: of paths of a supernet, trained or not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, get_world_size
from torch import nn

from pinas_mm.algorithms.single_path import SinglePath
from pinas_mm.analysis.parameter_shift import loss_along, with_partners
from pinas_mm.analysis.shift import prepared
from pinas_mm.analysis.unchanged import seed_all, unchanged
from pinas_mm.analysis.zero_cost import grad_norm, naswot, synflow
from pinas_mm.errors import UserError
from pinas_mm.models.cost import Part, count_costs
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.registry import SCORES
from pinas_mm.search.evaluation.scores.base import ArchScore
from pinas_mm.space import Arch
from pinas_mm.whole_numbers import check_seed, is_whole


def path_part(backbone: PiNASSupernet, arch: Arch) -> Part:
    """A path as a module by itself: it has the modules that the path runs, and no others."""
    return Part(backbone.path_modules(arch), lambda x: backbone(x, arch))


@SCORES.register_module()
class CostScore(ArchScore):
    """What an architecture costs, as a score: the baseline that any other has to beat.

    Metrics: ``zero_cost/params``, learnable parameters; ``zero_cost/macs``, multiply-adds for one
    image of the size that the search's loader gives; both of the backbone, as
    :func:`~pinas_mm.models.cost.count_costs` counts them, and more is better. To have less of them
    in a search by another score, take the costs ``params`` and ``macs`` themselves.
    """

    names = ("zero_cost/params", "zero_cost/macs")

    def begin(self, images: Sequence[dict[str, Any]]) -> None:
        """Counts the costs of all architectures."""
        self._table = count_costs(self.backbone, self.image_size(images[0]))

    def measure(self, arch: Arch) -> dict[str, float]:
        """Both costs."""
        cost = self._table.cost(arch)
        return dict(zip(self.names, (float(cost.params), float(cost.macs)), strict=True))


@SCORES.register_module()
class SynFlowScore(ArchScore):
    """Synaptic flow of a path (Tanaka et al., NeurIPS 2020; Abdelfattah et al., ICLR 2021).

    See :func:`~pinas_mm.analysis.zero_cost.synflow`; it is that of the path through the supernet.

    Metric: ``zero_cost/synflow``, a logarithm; more is better. One image is loaded, for its size
    alone.
    """

    names = ("zero_cost/synflow",)

    def begin(self, images: Sequence[dict[str, Any]]) -> None:
        """The shape of an image."""
        self._shape = self.backbone.in_channels, *self.image_size(images[0])

    def measure(self, arch: Arch) -> dict[str, float]:
        """The path's flow."""
        return {self.names[0]: synflow(path_part(self.backbone, arch), self._shape)}


@SCORES.register_module()
class NASWOTScore(ArchScore):
    """NASWOT of a path (Mellor et al., ICML 2021).

    See :func:`~pinas_mm.analysis.zero_cost.naswot`; it is that of the path through the supernet.

    Metric: ``zero_cost/naswot``, a logarithm; more is better. Labels are not read.

    Args:
        images: how many, at least 2; the paper's mini-batch is 128.

    Raises:
        UserError: fewer than 2 images; when measuring, a path without a module of ReLU's kind.
    """

    names = ("zero_cost/naswot",)

    def __init__(self, images: int = 128) -> None:
        self.num_images = _checked(images)

    def begin(self, images: Sequence[dict[str, Any]]) -> None:
        """Normalized images, as one batch."""
        self._inputs = torch.cat([self.inputs(batch) for batch in images])

    def measure(self, arch: Arch) -> dict[str, float]:
        """The path's."""
        return {self.names[0]: naswot(path_part(self.backbone, arch), self._inputs)}


@SCORES.register_module()
class GradNormScore(ArchScore):
    """Gradient norm of a path (Abdelfattah et al., ICLR 2021, section 3.1).

    See :func:`~pinas_mm.analysis.zero_cost.grad_norm`. The loss is the model's own, of a training
    step along the path; the parameters are those of the path through the supernet, whether they are
    frozen or not. A :class:`SinglePath` needs labels;
    :class:`PiNAS` needs none, and pairs the path with random others that differ from it in every
    block where there is a choice. Batches and random numbers are the same for all architectures.

    Metric: ``zero_cost/grad_norm``, the mean over the batches; more is better.

    Args:
        images: how many, at least 2, as one batch.
        seed: of views, partner paths, and what is random in a step, as dropout.

    Raises:
        UserError: fewer than 2 images, or a negative seed; when measuring, images without labels,
            or paths that are coupled in a distributed run, which would mix its ranks' images.
    """

    names = ("zero_cost/grad_norm",)
    collective = True

    def __init__(self, images: int = 64, seed: int = 0) -> None:
        self.num_images = _checked(images)
        check_seed(seed)
        self.seed = seed

    def check(self, model: nn.Module) -> None:
        """Raises :class:`UserError` where there is no loss along a path."""
        super().check(model)
        if isinstance(model, SinglePath) and not getattr(model.model, "with_head", True):
            raise UserError(
                f"GradNormScore needs a loss, the {type(model.model).__name__} has no head: give "
                "model.model.head, or take pinas_mm.SynFlowScore"
            )
        if model.couples_paths and get_world_size() > 1:
            raise UserError(
                f"GradNormScore of a {type(model).__name__} mixes images of all ranks: search by "
                "--workers instead of --launcher"
            )

    def begin(self, images: Sequence[dict[str, Any]]) -> None:
        """Batches as a training step gets them."""
        if isinstance(self.model, SinglePath):
            for batch in images:
                _check_labelled(batch)
        with unchanged(self.model):
            seed_all(self.seed)
            self._batches = [
                prepared(self.model, batch, self.seed, number)
                for number, batch in enumerate(images)
            ]

    def measure(self, arch: Arch) -> dict[str, float]:
        """The norm of the gradients along the path."""
        model = self.model
        others = model.paths.num_paths if model.couples_paths else 1
        paths = with_partners(self.backbone.space, arch, others, [self.seed])
        parameters = list(path_part(self.backbone, arch).parameters())
        norms = []
        with unchanged(model) as restore, _learning(parameters), torch.enable_grad():
            model.train()
            for batch in self._batches:
                seed_all(self.seed)
                norms.append(grad_norm(loss_along(model, batch, paths), parameters))
                restore()
        # Of a detector's losses every rank has its own rounding.
        holder = [sum(norms) / len(norms)]
        broadcast_object_list(holder)
        return {self.names[0]: holder[0]}


@contextlib.contextmanager
def _learning(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Frozen parameters want gradients."""
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def _check_labelled(batch: dict[str, Any]) -> None:
    samples = batch.get("data_samples") or [None]
    # As mmpretrain, mmdet and mmseg name what is true of an image.
    if not all(any(key.startswith("gt_") for key in getattr(s, "keys", list)()) for s in samples):
        raise UserError(
            "GradNormScore needs labels for the loss, which the search's data set does not give: "
            "choose a labelled data set, or pinas_mm.SynFlowScore or NASWOTScore"
        )


def _checked(images: int) -> int:
    if not is_whole(images, 2):
        raise UserError(f"images is {images!r}: allowed is a whole number of at least 2")
    return images
