"""The self-supervised algorithm that trains the supernet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pinas_mm.algorithms.base import Step, SupernetAlgorithm
from pinas_mm.algorithms.teacher import embed
from pinas_mm.errors import UserError
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.registry import MODELS
from pinas_mm.run_state import run_state
from pinas_mm.space.arch import read_archs


@MODELS.register_module()
class PiNAS(SupernetAlgorithm):
    """Cross-path learning with a mean teacher (Peng et al., ICCV 2021, section 3).

    A step takes P paths and 2P views of each image: the student sees view 2p along path p, the
    teacher view 2p + 1. The head compares what they saw.

    Every ablation is a config: ``head.cross=False`` (same path on both sides),
    ``teacher=dict(type='pinas_mm.SelfTeacher')`` (the student as its own teacher),
    ``head.pair=dict(type='pinas_mm.PiModelHead')`` (no negatives), another path sampler.

    Args:
        backbone: config of a :class:`PiNASSupernet`.
        neck: config of the projection; it takes a tuple of feature maps and returns a tuple of
            vectors.
        head: config of a :class:`CrossPathHead`.
        paths: config of the path sampler; None is CrossPaths, two paths a step.
        teacher: config of the teacher; None is MeanTeacher.
        data_preprocessor: config; it must give the list of views.
        init_cfg: mmengine's weight initialization.

    Raises:
        UserError: the space cannot give the sampler's paths.
    """

    couples_paths = True

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        head: dict[str, Any],
        paths: dict[str, Any] | None = None,
        teacher: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        paths = dict(type="pinas_mm.CrossPaths") if paths is None else paths
        super().__init__(paths, data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        # Not above: the libraries are loaded where something of them is built.
        from mmpretrain.registry import MODELS as MMPRETRAIN

        self.neck, self.head = MMPRETRAIN.build(neck), MMPRETRAIN.build(head)
        self.check_paths()
        teacher = dict(teacher or dict(type="pinas_mm.MeanTeacher"))
        self.teacher = MODELS.build(dict(teacher, backbone=self.backbone, neck=self.neck))

    def init_weights(self) -> None:
        """Initializes the student; the teacher starts as its copy."""
        super().init_weights()  # type: ignore[no-untyped-call]  # mmengine's.
        self.teacher.copy_student(self.backbone, self.neck)

    def forward(
        self,
        inputs: Any,
        data_samples: Any = None,
        mode: str = "tensor",
        arch: Any = None,
        step: Step | None = None,
    ) -> Any:
        """The loss of a step in ``mode='loss'``; else the student's feature maps.

        Args:
            inputs: view batches for the loss, images (N, C, H, W) for feature maps.
            data_samples: unused, there are no labels.
            mode: ``loss`` or ``tensor``.
            arch: the path for feature maps.
            step: unused, since all paths are one graph.

        Raises:
            UserError: predictions are asked for.
        """
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "predict":
            raise UserError(
                "PiNAS predicts nothing: validate it by pinas_mm.RetrievalLoop, or train a "
                "classifier on it (configs/pinas_linear.py)"
            )
        return self.extract_feat(inputs, arch)

    def extract_feat(self, inputs: torch.Tensor, arch: Any) -> tuple[torch.Tensor, ...]:
        """The student's feature maps of images (N, C, H, W) along a path."""
        return self.backbone(inputs, arch)

    @property
    def teacher_networks(self) -> tuple[PiNASSupernet, torch.nn.Module]:
        """Backbone and neck that give the keys: the student's where it is its own teacher."""
        owner = self.teacher if hasattr(self.teacher, "backbone") else self
        return owner.backbone, owner.neck

    def loss(
        self,
        inputs: Sequence[torch.Tensor],
        data_samples: Any = None,
        paths: Sequence[Any] | None = None,
    ) -> dict[str, torch.Tensor]:
        """One training step up to the loss; moves the teacher and the queue.

        Args:
            inputs: 2P view batches of shape (N, C, H, W) for P paths.
            data_samples: unused, there are no labels.
            paths: explicit paths in place of the sampler's.

        Returns:
            ``loss`` and what else the head logs.

        Raises:
            UserError: the number of views is not twice the number of paths.
            RuntimeError: no ``paths`` and no runner to take seed and iteration from.
        """
        space = self.backbone.space
        if paths is None:
            seed, iteration = run_state()
            archs = self.step_paths(seed, iteration)
        else:
            seed, iteration = 0, 0
            archs = read_archs(paths, space)
        if len(inputs) != 2 * len(archs):
            raise UserError(
                f"{len(archs)} paths need {2 * len(archs)} views of each image, the data "
                f"preprocessor gave {len(inputs)}: set its num_views"
            )
        student = self.backbone, self.neck
        queries, keys = [], []
        for number, arch in enumerate(archs):
            queries.append(embed(*student, inputs[2 * number], arch))
            self.teacher.update(*student, arch)
            key = (seed, iteration, number)
            keys.append(self.teacher.keys(*student, inputs[2 * number + 1], arch, key))
        return self.head(queries, keys)
