"""What supernet and stand-alone backbone have in common: stem, stages, freezing, checkpointing."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule, constant_init
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from pinas_mm.errors import UserError
from pinas_mm.models.batch_norm import uncounted_batches
from pinas_mm.operations.norms import check_norm, norm_layer
from pinas_mm.operations.split_attention import SplitAttentionBlock
from pinas_mm.space import BlockSpec, Candidate, SearchSpace

DEFAULT_INIT = (
    dict(type="Kaiming", layer="Conv2d"),
    dict(type="Constant", layer=["_BatchNorm", "GroupNorm"], val=1),
)
# Initializers that load, by the name of their type or class: mmengine's takes what fits and goes
# on, ours all or nothing.
LOADERS = {
    "Pretrained": "pinas_mm.Pretrained",
    "PretrainedInit": "pinas_mm.Pretrained",
    "FromSupernet": "pinas_mm.FromSupernet",
}


class Skeleton(BaseModule):
    """Deep stem and stages ``layer1``, ``layer2``, ... of a search space.

    Subclasses say which candidates stand at each place (:meth:`candidates_at`), build them
    (:meth:`build_block`) and run a stage.

    Args:
        space: the search space or its config; None is the paper's.
        in_channels: channels of the input images.
        strides, dilations: of each stage; None takes the space's strides and no dilation.
        out_indices: stages whose outputs are returned, counted from 0, ascending.
        frozen_stages: -1 freezes nothing, 0 the stem, n the stem and the first n stages:
            no gradients, and batch norms use their running statistics.
        norm_cfg: config of the norm layers (BN, SyncBN, GN); None is BN.
        norm_eval: batch norms use their running statistics in training too.
        with_cp: recompute blocks in the backward pass instead of keeping their activations.
        zero_init_last: the last norm of every block starts at zero.
        init_cfg: mmengine's weight initialization; None is Kaiming, norms at one. Of its type
            ``Pretrained``, :class:`pinas_mm.weights.initializers.Pretrained` is meant.

    Raises:
        UserError: ``out_indices``, ``frozen_stages``, strides or dilations do not fit the stages,
            ``norm_cfg`` not the channels.
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
        super().__init__(_strict(DEFAULT_INIT if init_cfg is None else init_cfg))
        self.space = SearchSpace.build(space)
        self.out_indices = self._checked_indices(out_indices)
        if not _is_whole(frozen_stages) or not -1 <= frozen_stages <= self.num_stages:
            raise UserError(
                f"frozen_stages is {frozen_stages!r}: allowed are -1 to {self.num_stages}"
            )
        if not _is_whole(in_channels) or in_channels < 1:
            raise UserError(f"in_channels is {in_channels!r}: a number of at least 1 is allowed")
        self.frozen_stages = frozen_stages
        self.norm_cfg = dict(type="BN") if norm_cfg is None else norm_cfg
        self.norm_eval, self.with_cp, self.zero_init_last = norm_eval, with_cp, zero_init_last
        specs = list(self.space.blocks(strides, dilations))
        self._check_norm(specs)
        self._build_stem(in_channels)
        for stage in range(self.num_stages):
            blocks = [
                self.build_block(number, spec)
                for number, spec in enumerate(specs)
                if spec.stage == stage
            ]
            self.add_module(f"layer{stage + 1}", nn.ModuleList(blocks))
        self.to(memory_format=torch.channels_last)
        for module in self._frozen_modules:
            module.requires_grad_(False)
        self.train()

    def candidates_at(self, number: int) -> list[Candidate]:
        """The candidates at choice block ``number`` (counted through all stages)."""
        raise NotImplementedError(f"{type(self).__name__} must define candidates_at()")

    def build_block(self, number: int, spec: BlockSpec) -> nn.Module:
        """The module at choice block ``number``."""
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
        loads = any(_loader(cfg) for cfg in self.init_cfg)
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
    def _frozen_modules(self) -> list[nn.Module]:
        stem = self.stem if self.frozen_stages >= 0 else []
        return [*stem, *self.stages[: max(self.frozen_stages, 0)]]

    def _checked_indices(self, out_indices: Sequence[int]) -> tuple[int, ...]:
        indices = list(out_indices) if isinstance(out_indices, Iterable) else out_indices
        stages = range(self.num_stages)
        if (
            not indices
            or not isinstance(indices, list)
            or not all(_is_whole(index) and index in stages for index in indices)
            or indices != sorted(set(indices))
        ):
            raise UserError(
                f"out_indices is {indices!r}: allowed are ascending stages from 0 to "
                f"{self.num_stages - 1}"
            )
        return tuple(indices)

    def _check_norm(self, specs: Sequence[BlockSpec]) -> None:
        channels, pooled = [*self.space.stem_widths, *self.space.out_channels], []
        for number, spec in enumerate(specs):
            for candidate in self.candidates_at(number):
                width = candidate.group_width(spec.planes)
                channels += [width, width * candidate.radix]
                pooled.append(candidate.attention_width(spec.planes))
        check_norm(self.norm_cfg, channels, pooled)

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


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _strict(init_cfg: dict | Sequence[dict]) -> list[dict]:
    """With our initializers for those that load; they come last and win, as mmengine has it."""
    cfgs = [init_cfg] if isinstance(init_cfg, dict) else init_cfg
    loads = [dict(cfg, type=loader) for cfg in cfgs if (loader := _loader(cfg))]
    return [*(dict(cfg) for cfg in cfgs if not _loader(cfg)), *loads]


def _loader(cfg: dict) -> str | None:
    """The type in LOADERS for an init_cfg, whose own is a text under any scope or a class."""
    kind = cfg["type"]
    return LOADERS.get(kind.rpartition(".")[2] if isinstance(kind, str) else kind.__name__)
