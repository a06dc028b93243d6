"""The weight-sharing supernet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from pinas_mm.models.network import Skeleton
from pinas_mm.operations.split_attention import SplitAttentionBlock, build_shortcut
from pinas_mm.registry import MODELS
from pinas_mm.space import Arch, BlockSpec, Candidate, SearchSpace


@MODELS.register_module()
class PiNASSupernet(Skeleton):
    """Every candidate of every choice block; a forward pass runs one path (Pi-NAS, 3.1).

    Only the path's modules are run, so a step costs what the path costs, however many candidates
    there are. The shortcut of a block is one module shared by its candidates; with the last norm
    of every block at zero, all paths compute the same at the start. Its key appears once for each
    candidate in the state dict, as in the release's checkpoints.

    Args:
        space: a :class:`~pinas_mm.space.SearchSpace` or its config; None is the paper's.
        in_channels: channels of the input images.
        strides, dilations: of each stage; None takes the space's strides, no dilation.
        out_indices: stages whose outputs are returned, counted from 0; None is the last.
        frozen_stages: -1 nothing, 0 the stem, n the stem and the first n stages.
        norm_cfg: config of the norm layers; None is BN.
        norm_eval: batch norms keep their running statistics in training.
        with_cp: save memory by recomputing blocks in the backward pass.
        init_cfg: mmengine's weight initialization.

    Example:
        >>> supernet = PiNASSupernet()
        >>> supernet(torch.zeros(1, 3, 64, 64), '301-3231-203213-032')[0].shape
        torch.Size([1, 2048, 2, 2])
    """

    def __init__(
        self,
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
        super().__init__(
            space=space,
            in_channels=in_channels,
            strides=strides,
            dilations=dilations,
            out_indices=out_indices if out_indices is not None else (len(space.depths) - 1,),
            frozen_stages=frozen_stages,
            norm_cfg=norm_cfg,
            norm_eval=norm_eval,
            with_cp=with_cp,
            zero_init_last=True,
            init_cfg=init_cfg,
        )

    def candidates_at(self, number: int) -> list[Candidate]:
        """All of the space."""
        return list(self.space.candidates)

    def build_block(self, number: int, spec: BlockSpec) -> nn.ModuleList:
        """All candidates of a choice block."""
        shortcut = build_shortcut(spec, self.norm_cfg)
        return nn.ModuleList(
            SplitAttentionBlock(spec, candidate, shortcut, spec.stride > 1, self.norm_cfg)
            for candidate in self.candidates_at(number)
        )

    def forward(self, x: torch.Tensor, arch: Any) -> tuple[torch.Tensor, ...]:
        """Runs one path.

        Args:
            x: images, shape (N, in_channels, H, W).
            arch: the path, in any form that :meth:`SearchSpace.arch` reads.

        Returns:
            One feature map for each of ``out_indices``; with the default space shape
            (N, 2048, H / 32, W / 32), rounded up.
        """
        choices = iter(self.space.arch(arch))
        x = self.forward_stem(x)
        outs = []
        for index, stage in enumerate(self.stages[: self.out_indices[-1] + 1]):
            for block in stage:
                x = self.run_block(block[next(choices)], x)
            if index in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def path_modules(self, arch: Arch) -> list[nn.Module]:
        """The modules a path runs: the stem's, then one a choice block."""
        blocks = [block for stage in self.stages for block in stage]
        return [*self.stem, *(block[choice] for block, choice in zip(blocks, arch, strict=True))]
