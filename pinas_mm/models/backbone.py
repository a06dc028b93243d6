"""The stand-alone network of one architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pinas_mm.models.network import Skeleton
from pinas_mm.operations.split_attention import SplitAttentionBlock, build_shortcut
from pinas_mm.registry import MODELS
from pinas_mm.space import BlockSpec, Candidate, SearchSpace


@MODELS.register_module()
class PiNASBackbone(Skeleton):
    """One architecture as an ordinary backbone for mmpretrain, mmdet and mmseg.

    Its state dict has a supernet's keys without the candidate index, and is the same for all
    strides and dilations. Output stride 8, as the segmentation configs use it, is
    ``strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)``.

    In evaluation mode its features are, bit for bit, those of the supernet of the same space,
    strides and dilations on this path, but for one case: a stage whose stride the space has and
    ``strides`` takes away. There the first block keeps its 3x3 average pool, at stride 1, and a
    supernet's has none (as released). A supernet whose ``space`` itself has ``strides=(1, 2, 1,
    1)`` is of output stride 8 without pools, and so are the backbones of that space.

    Batch norms of split attention see one pixel an image: in training a device's batch, or SyncBN
    over several devices, needs two images or more.

    Args:
        arch: the architecture, in any form that :meth:`SearchSpace.arch` reads: text, list or the
            name of a published one (``'pinas_cls'``, ``'pinas_trans'``).
        space: a :class:`~pinas_mm.space.SearchSpace` or its config; None is the paper's.
        in_channels: channels of the input images.
        strides, dilations: of each stage; None takes the space's strides, no dilation.
        out_indices: stages whose outputs are returned, counted from 0; None is all.
        frozen_stages: -1 nothing, 0 the stem, n the stem and the first n stages.
        norm_cfg: config of the norm layers, BN, SyncBN or GN; None is BN.
        norm_eval: batch norms keep their running statistics in training.
        with_cp: save memory by recomputing blocks in the backward pass.
        init_cfg: mmengine's weight initialization; None is Kaiming, norms at one.
            ``dict(type='Pretrained', checkpoint=...)`` loads an exported or converted file, or with
            ``prefix='backbone.'`` a trained model's; ``dict(type='pinas_mm.FromSupernet',
            checkpoint=...)`` cuts the architecture out of a supernet's checkpoint. Both load all
            of it or raise :class:`~pinas_mm.errors.UserError`.

    Raises:
        UserError: an argument does not fit the space; says what is allowed.

    Example:
        >>> backbone = PiNASBackbone('pinas_trans', out_indices=(2, 3))
        >>> [tuple(out.shape) for out in backbone(torch.zeros(2, 3, 64, 64))]
        [(2, 1024, 4, 4), (2, 2048, 2, 2)]
    """

    def __init__(
        self,
        arch: Any,
        space: SearchSpace | dict[str, Any] | None = None,
        in_channels: int = 3,
        strides: Sequence[int] | None = None,
        dilations: Sequence[int] | None = None,
        out_indices: Sequence[int] | None = None,
        frozen_stages: int = -1,
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        space = SearchSpace.build(space)
        self.arch = space.arch(arch)
        super().__init__(
            space=space,
            in_channels=in_channels,
            strides=strides,
            dilations=dilations,
            out_indices=out_indices if out_indices is not None else range(len(space.depths)),
            frozen_stages=frozen_stages,
            norm_cfg=norm_cfg,
            norm_eval=norm_eval,
            with_cp=with_cp,
            zero_init_last=False,
            init_cfg=init_cfg,
        )

    def candidates_at(self, number: int) -> list[Candidate]:
        """The architecture's one."""
        return [self.space.candidates[self.arch[number]]]

    def build_block(self, number: int, spec: BlockSpec) -> SplitAttentionBlock:
        """The architecture's candidate at a choice block."""
        (candidate,) = self.candidates_at(number)
        # Where the space strides there is a pool, also in a network that does not stride there.
        pool = spec.stride > 1 or (spec.first and self.space.strides[spec.stage] > 1)
        shortcut = build_shortcut(spec, self.norm_cfg)
        return SplitAttentionBlock(spec, candidate, shortcut, pool, self.norm_cfg)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Images (N, in_channels, H, W) to one feature map for each of ``out_indices``.

        Their memory is contiguous: mmcv's operators, RoIAlign among them, take any tensor's memory
        for that, and read another's values in a wrong order.
        """
        x = self.forward_stem(x)
        outs = []
        for index, stage in enumerate(self.stages[: self.out_indices[-1] + 1]):
            for block in stage:
                x = self.run_block(block, x)
            if index in self.out_indices:
                outs.append(x.contiguous())
        return tuple(outs)
