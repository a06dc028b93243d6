"""The stand-alone network of one architecture."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.models.initial_weights import strict_init
from pinas_mm.models.network import CHANNELS_LAST, Network
from pinas_mm.registry import MODELS, WEIGHT_INITIALIZERS
from pinas_mm.space import BlockSpec, SearchSpace


@MODELS.register_module()
class PiNASBackbone(Network):
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
            name of a published one (``'pinas_cls'``, ``'pinas_trans'``). None is that of the file
            in ``init_cfg``.
        space: a :class:`~pinas_mm.space.SearchSpace` or its config; None is that of the file in
            ``init_cfg``, where it names one, else the paper's.
        in_channels: channels of the input images; None is the file's where ``arch`` or ``space``
            is left to it, else 3.
        strides, dilations: of each stage; None is the file's where ``arch`` or ``space`` is left
            to it and it names some, else the space's strides, no dilation.
        out_indices: stages whose outputs are returned, counted from 0; None is all.
        frozen_stages: -1 nothing, 0 the stem, n the stem and the first n stages.
        norm_cfg: config of the norm layers, BN, SyncBN or GN; None is the file's where ``arch`` or
            ``space`` is left to it, else BN. Weights of other norms are refused.
        norm_eval: batch norms keep their running statistics in training.
        with_cp: save memory by recomputing blocks in the backward pass.
        memory_format: how feature maps and weights lie in memory: ``channels_last``, in which most
            hardware computes fastest, or ``contiguous_format``.
        init_cfg: mmengine's weight initialization; None is Kaiming, norms at one.
            ``dict(type='Pretrained', checkpoint=...)`` loads an exported or converted file, or with
            ``prefix='backbone.'`` a trained model's; ``dict(type='pinas_mm.FromSupernet',
            checkpoint=...)`` cuts the architecture out of a supernet's checkpoint. Both load all
            of it or raise :class:`~pinas_mm.errors.UserError`. A file that
            ``tools/export.py`` or a training wrote knows architecture and space: it supplies what
            the config does not say, and a config that contradicts it is refused.

    Raises:
        UserError: an argument does not fit the space; says what is allowed.

    Example:
        >>> backbone = PiNASBackbone('pinas_trans', out_indices=(2, 3))
        >>> [tuple(out.shape) for out in backbone(torch.zeros(2, 3, 64, 64))]
        [(2, 1024, 4, 4), (2, 2048, 2, 2)]
    """

    def __init__(
        self,
        arch: Any = None,
        space: SearchSpace | dict[str, Any] | None = None,
        in_channels: int | None = None,
        strides: Sequence[int] | None = None,
        dilations: Sequence[int] | None = None,
        out_indices: Sequence[int] | None = None,
        frozen_stages: int = -1,
        norm_cfg: dict[str, Any] | None = None,
        norm_eval: bool = False,
        with_cp: bool = False,
        memory_format: str = CHANNELS_LAST,
        init_cfg: dict[str, Any] | list[Any] | None = None,
    ) -> None:
        known = _known(init_cfg, needed=arch is None) if arch is None or space is None else {}
        given = dict(
            arch=arch,
            space=space,
            in_channels=in_channels,
            norm_cfg=norm_cfg,
            strides=strides,
            dilations=dilations,
        )
        arch, space, in_channels, norm_cfg, strides, dilations = (
            known.get(name) if value is None else value for name, value in given.items()
        )
        if arch is None:
            raise UserError(
                "PiNASBackbone has no arch: give one, or by init_cfg=dict(type='Pretrained', "
                "checkpoint=...) a file that knows its own, as tools/export.py writes them"
            )
        space = SearchSpace.build(space)
        self.arch = space.arch(arch)
        super().__init__(
            space=space,
            in_channels=3 if in_channels is None else in_channels,
            strides=strides,
            dilations=dilations,
            out_indices=out_indices if out_indices is not None else range(len(space.depths)),
            frozen_stages=frozen_stages,
            norm_cfg=norm_cfg,
            norm_eval=norm_eval,
            with_cp=with_cp,
            memory_format=memory_format,
            zero_init_last=False,
            init_cfg=init_cfg,
        )

    def choices_at(self, number: int) -> list[int]:
        """The one candidate of the architecture at block ``number``."""
        return [self.arch[number]]

    def place(self, candidates: dict[int, nn.Module], shortcut: nn.Module | None) -> nn.Module:
        """The only candidate itself."""
        (module,) = candidates.values()
        return module

    def _placed(self, specs: Iterable[BlockSpec]) -> Iterable[BlockSpec]:
        """A block that the space strides keeps what strides, even where this network does not."""
        for spec, own in zip(specs, self.space.blocks(), strict=True):
            yield dataclasses.replace(spec, strided=spec.strided or own.strided)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Images (N, in_channels, H, W) to one feature map for each of ``out_indices``.

        Their memory is contiguous: mmcv's operators, RoIAlign among them, take any tensor's memory
        for that, and read another's values in a wrong order.
        """
        nothing = [None] * self.space.num_blocks
        return tuple(out.contiguous() for out in self.forward_path(x, nothing))


def _known(init_cfg: dict[str, Any] | list[Any] | None, needed: bool) -> dict[str, Any]:
    """What the file of an ``init_cfg`` says of itself; nothing where there is none.

    A run that is resumed or tested elsewhere does not need the file that it began with.
    """
    for cfg in strict_init(init_cfg or []):
        if cfg["type"] in ("pinas_mm.Pretrained", "pinas_mm.FromSupernet"):
            try:
                return WEIGHT_INITIALIZERS.build(cfg).describe()
            except UserError:
                if needed:
                    raise
    return {}
