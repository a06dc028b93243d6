"""The weight-sharing supernet."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.models.choice_block import ChoiceBlock
from pinas_mm.models.network import CHANNELS_LAST, Network
from pinas_mm.registry import MODELS
from pinas_mm.space import Arch, SearchSpace


@MODELS.register_module()
class PiNASSupernet(Network):
    """Every candidate of every choice block; a forward pass runs one path (Pi-NAS, 3.1).

    Only the path's modules are run, so a step costs what the path costs, however many candidates
    there are. The shortcut of a block is one module shared by its candidates (see
    :class:`~pinas_mm.models.choice_block.ChoiceBlock`); with the last norm of every block at zero,
    all paths compute the same at the start.

    It is called with a path, or without one where :meth:`on` has set one: so it stands in any model
    of mmpretrain, mmdet and mmseg as a backbone.

    Args:
        space: a :class:`~pinas_mm.space.SearchSpace` or its config; None is the paper's.
        in_channels: channels of the input images.
        strides, dilations: of each stage; None takes the space's strides, no dilation.
        out_indices: stages whose outputs are returned, counted from 0; None is the last.
        frozen_stages: -1 nothing, 0 the stem, n the stem and the first n stages.
        norm_cfg: config of the norm layers; None is BN.
        norm_eval: batch norms keep their running statistics in training.
        with_cp: save memory by recomputing blocks in the backward pass.
        memory_format: how feature maps and weights lie in memory: ``channels_last``, in which most
            hardware computes fastest, or ``contiguous_format``.
        init_cfg: mmengine's weight initialization.

    Example:
        >>> supernet = PiNASSupernet().eval()
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
        norm_cfg: dict[str, Any] | None = None,
        norm_eval: bool = False,
        with_cp: bool = False,
        memory_format: str = CHANNELS_LAST,
        init_cfg: dict[str, Any] | list[Any] | None = None,
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
            memory_format=memory_format,
            zero_init_last=True,
            init_cfg=init_cfg,
        )

        self._path: Arch | None = None
        self._answer: tuple[torch.Tensor, tuple[torch.Tensor, ...]] | None = None

    def choices_at(self, number: int) -> list[int]:
        """All candidates that may stand at block ``number``."""
        return self.space.mask[number].nonzero()[0].tolist()

    def place(self, candidates: dict[int, nn.Module], shortcut: nn.Module | None) -> nn.Module:
        """A :class:`~pinas_mm.models.choice_block.ChoiceBlock` of all candidates."""
        return ChoiceBlock(candidates, shortcut)

    @contextlib.contextmanager
    def on(self, arch: Any) -> Iterator[PiNASSupernet]:
        """Sets the path that calls without one run, in a ``with`` block.

        Args:
            arch: in any form that :meth:`SearchSpace.arch` reads.

        Example:
            >>> with supernet.on('301-3231-203213-032'):
            ...     features = supernet(images)
        """
        before, self._path = self._path, self.space.arch(arch)
        try:
            yield self
        finally:
            self._path = before

    @contextlib.contextmanager
    def answering(self, x: torch.Tensor, feats: Sequence[torch.Tensor]) -> Iterator[None]:
        """While open, a call without a path on this batch returns these feature maps instead of
        computing them; any other batch runs the path that is set.

        Args:
            x: images, shape (N, in_channels, H, W).
            feats: what the path that is set gives for them.
        """
        before, self._answer = self._answer, (x, tuple(feats))
        try:
            yield
        finally:
            self._answer = before

    def forward(self, x: torch.Tensor, arch: Any = None) -> tuple[torch.Tensor, ...]:
        """Runs one path.

        Args:
            x: images, shape (N, in_channels, H, W).
            arch: the path, in any form that :meth:`SearchSpace.arch` reads; None is the one that
                :meth:`on` set. Feature maps are then contiguous, as a
                :class:`~pinas_mm.models.PiNASBackbone`'s.

        Returns:
            One feature map for each of ``out_indices``; with the default space shape
            (N, 2048, H / 32, W / 32), rounded up.

        Raises:
            UserError: the path is none of the space, or none is given or set; in training mode
                batch norms have a single image, which they cannot normalize.
        """
        path = self._path if arch is None else self.space.arch(arch)
        if path is None:
            raise UserError(
                "the supernet has no path to run: call it with one, or inside "
                "`with supernet.on(arch):`"
            )
        answer = self._answer if arch is None else None
        known = answer is not None and same_batch(x, answer[0])
        outs = answer[1] if answer is not None and known else self.forward_path(x, path)
        return tuple(out.contiguous() for out in outs) if arch is None else outs

    def path_modules(self, arch: Arch) -> list[nn.Module]:
        """The modules that a path runs, each once; not those after the last stage returned."""
        running = [
            cast(ChoiceBlock, self.block(number)).running(arch[number])
            for number in range(self.num_running)
        ]
        return [*self.stem_modules, *self.around, *itertools.chain(*running)]


def same_batch(x: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are the same memory seen the same way; nothing is compared."""
    return (x.data_ptr(), x.shape, x.stride()) == (other.data_ptr(), other.shape, other.stride())
