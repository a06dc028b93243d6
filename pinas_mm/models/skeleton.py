"""What supernet and stand-alone backbone have in common: stem, stages, freezing, checkpointing."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule, constant_init
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from pinas_mm.errors import UserError
from pinas_mm.models.batch_norm import uncounted_batches
from pinas_mm.models.split_attention import SplitAttentionBlock, norm_layer
from pinas_mm.space import BlockSpec, SearchSpace

DEFAULT_INIT = (
    dict(type="Kaiming", layer="Conv2d"),
    dict(type="Constant", layer=["_BatchNorm", "GroupNorm"], val=1),
)


class Skeleton(BaseModule):
    """Deep stem and stages ``layer1``, ``layer2``, ... of a search space.

    Subclasses say what stands at each place (:meth:`build_block`) and run a stage.

    Args:
        space: the search space or its config; None is the paper's.
        in_channels: channels of the input images.
        strides, dilations: of each stage; None takes the space's strides and no dilation.
        out_indices: stages whose outputs are returned, counted from 0, ascending.
        frozen_stages: -1 freezes nothing, 0 the stem, n the stem and the first n stages:
            no gradients, and batch norms use their running statistics.
        norm_cfg: config of the norm layers (BN, SyncBN, GN).
        norm_eval: batch norms use their running statistics in training too.
        with_cp: recompute blocks in the backward pass instead of keeping their activations.
        zero_init_last: the last norm of every block starts at zero.
        init_cfg: mmengine's weight initialization; None is Kaiming, norms at one.

    Raises:
        UserError: ``out_indices``, ``frozen_stages``, strides or dilations do not fit the stages.
    """

    def __init__(
        self,
        space: SearchSpace | dict[str, Any] | None,
        in_channels: int,
        strides: Sequence[int] | None,
        dilations: Sequence[int] | None,
        out_indices: Sequence[int],
        frozen_stages: int,
        norm_cfg: dict | None,
        norm_eval: bool,
        with_cp: bool,
        zero_init_last: bool,
        init_cfg: dict | list | None,
    ) -> None:
        super().__init__(init_cfg if init_cfg is not None else [dict(c) for c in DEFAULT_INIT])
        self.space = SearchSpace.build(space)
        self.out_indices = self._checked_indices(out_indices)
        if not -1 <= frozen_stages <= self.num_stages:
            raise UserError(
                f"frozen_stages is {frozen_stages}: allowed are -1 to {self.num_stages}"
            )
        self.frozen_stages = frozen_stages
        self.norm_cfg = norm_cfg or dict(type="BN")
        self.norm_eval, self.with_cp, self.zero_init_last = norm_eval, with_cp, zero_init_last
        self._build_stem(in_channels)
        specs = list(self.space.blocks(strides, dilations))
        for stage in range(self.num_stages):
            blocks = [
                self.build_block(number, spec)
                for number, spec in enumerate(specs)
                if spec.stage == stage
            ]
            self.add_module(f"layer{stage + 1}", nn.ModuleList(blocks))
        self.to(memory_format=torch.channels_last)
        self._freeze()

    def build_block(self, number: int, spec: BlockSpec) -> nn.Module:
        """The module at choice block ``number`` (counted through all stages)."""
        raise NotImplementedError(f"{type(self).__name__} must define build_block()")

    @property
    def num_stages(self) -> int:
        """Stages of the space."""
        return len(self.space.depths)

    @property
    def stages(self) -> list[nn.ModuleList]:
        """The stages' modules, first stage first."""
        return [getattr(self, f"layer{stage + 1}") for stage in range(self.num_stages)]

    @property
    def stem(self) -> list[nn.Module]:
        """The stem's modules that have parameters."""
        return [self.conv1, self.bn1]

    def forward_stem(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) to (N, stem channels, H / 4, W / 4), in channels_last."""
        x = x.contiguous(memory_format=torch.channels_last)
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def run_block(self, block: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """One block, recomputed in the backward pass where ``with_cp`` says so."""
        if self.with_cp and x.requires_grad:
            return checkpoint(
                block,
                x,
                use_reentrant=False,
                context_fn=lambda: (contextlib.nullcontext(), uncounted_batches(block)),
            )
        return block(x)

    def init_weights(self) -> None:
        """Initializes by ``init_cfg``; then zeroes each block's last norm if so configured."""
        fresh = not self.is_init
        super().init_weights()
        loads = any(cfg["type"].endswith(("Pretrained", "FromSupernet")) for cfg in self._init_cfgs)
        if fresh and self.zero_init_last and not loads:
            for module in self.modules():
                if isinstance(module, SplitAttentionBlock):
                    constant_init(module.bn3, 0)

    def train(self, mode: bool = True) -> Skeleton:
        """Training mode, less what ``frozen_stages`` and ``norm_eval`` keep in evaluation mode."""
        super().train(mode)
        if mode:
            for module in self._frozen_modules:
                module.eval()
            if self.norm_eval:
                for module in self.modules():
                    if isinstance(module, _BatchNorm):
                        module.eval()
        return self

    @property
    def _init_cfgs(self) -> list[dict]:
        return [self.init_cfg] if isinstance(self.init_cfg, dict) else list(self.init_cfg)

    @property
    def _frozen_modules(self) -> list[nn.Module]:
        stem = self.stem if self.frozen_stages >= 0 else []
        return [*stem, *self.stages[: max(self.frozen_stages, 0)]]

    def _freeze(self) -> None:
        for module in self._frozen_modules:
            module.requires_grad_(False)

    def _checked_indices(self, out_indices: Sequence[int]) -> tuple[int, ...]:
        indices = tuple(out_indices)
        if not indices or list(indices) != sorted(set(indices) & set(range(self.num_stages))):
            raise UserError(
                f"out_indices is {list(indices)}: allowed are ascending stages from 0 to "
                f"{self.num_stages - 1}"
            )
        return indices

    def _build_stem(self, in_channels: int) -> None:
        first, second, third = self.space.stem_widths
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, first, 3, self.space.stem_stride, padding=1, bias=False),
            norm_layer(self.norm_cfg, first),
            nn.ReLU(inplace=True),
            nn.Conv2d(first, second, 3, padding=1, bias=False),
            norm_layer(self.norm_cfg, second),
            nn.ReLU(inplace=True),
            nn.Conv2d(second, third, 3, padding=1, bias=False),
        )
        self.bn1 = norm_layer(self.norm_cfg, third)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if self.space.stem_pool else nn.Identity()
