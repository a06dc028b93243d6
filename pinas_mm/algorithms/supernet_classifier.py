"""A classifier on a supernet: linear probe, SPOS, FairNAS."""

from __future__ import annotations

from typing import Any

import torch
from mmpretrain.models import ImageClassifier

from pinas_mm.registry import MODELS, PATH_SAMPLERS
from pinas_mm.run_state import run_state


@MODELS.register_module()
class SupernetClassifier(ImageClassifier):
    """One classification head for all paths of a supernet.

    ``freeze_backbone=True`` is the linear probe: the supernet's parameters stay, its batch norms
    use batch statistics. False with UniformPaths is SPOS (Guo et al., ECCV 2020), with FairPaths
    FairNAS (Chu et al., ICCV 2021).

    Running statistics of a supernet mix those of all paths; to test one architecture, recompute
    them with :class:`~pinas_mm.models.batch_norm.Statistics` (the supernet loops do).

    Args:
        backbone: config of a :class:`PiNASSupernet`.
        neck, head: as in mmpretrain's ImageClassifier.
        paths: config of the path sampler; the losses of several paths a step are averaged.
        freeze_backbone: train the head only.
        data_preprocessor, init_cfg: as in mmpretrain's ImageClassifier.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict | None = None,
        head: dict | None = None,
        paths: dict | None = None,
        freeze_backbone: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone=backbone,
            neck=neck,
            head=head,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.paths = PATH_SAMPLERS.build(paths or dict(type="pinas_mm.UniformPaths"))
        self.paths.check(self.backbone.space)
        self.freeze_backbone = freeze_backbone
        if freeze_backbone:
            self.backbone.requires_grad_(False)

    def forward(
        self,
        inputs: torch.Tensor,
        data_samples: list | None = None,
        mode: str = "tensor",
        arch: Any = None,
    ) -> Any:
        """As mmpretrain's; ``arch`` is required but for ``mode='loss'``, where it overrides
        the sampler.
        """
        if mode == "loss":
            return self.loss(inputs, data_samples, None if arch is None else [arch])
        feats = self.extract_feat(inputs, arch=arch)
        if mode == "tensor":
            return self.head(feats) if self.with_head else feats
        return self.head.predict(feats, data_samples)

    def extract_feat(
        self, inputs: torch.Tensor, stage: str = "neck", arch: Any = None
    ) -> tuple[torch.Tensor, ...]:
        """Features of images (N, C, H, W) along a path, after the backbone or the neck."""
        feats = self.backbone(inputs, arch)
        return self.neck(feats) if self.with_neck and stage != "backbone" else feats

    def loss(
        self, inputs: torch.Tensor, data_samples: list, paths: list | None = None
    ) -> dict[str, torch.Tensor]:
        """Mean loss over the step's paths, or over explicit ``paths``."""
        archs = paths or self.paths(self.backbone.space, *run_state())
        losses = [
            self.head.loss(self.extract_feat(inputs, arch=arch), data_samples) for arch in archs
        ]
        return {name: sum(loss[name] for loss in losses) / len(losses) for name in losses[0]}

    def test_step(self, data: dict, arch: Any = None) -> list:
        """Predictions of one architecture; ``val_step`` is the same."""
        data = self.data_preprocessor(data, False)
        return self(**data, mode="predict", arch=arch)

    val_step = test_step
