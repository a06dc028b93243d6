"""What supernet and stand-alone backbone have in common: skeleton, freezing, checkpointing."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import torch
from mmengine.model import BaseModule, ModuleDict
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from pinas_mm.errors import UserError
from pinas_mm.models.batch_norm import uncounted_batches
from pinas_mm.models.candidate import build_candidate, named
from pinas_mm.models.choice_block import ChoiceBlock
from pinas_mm.models.initial_weights import DEFAULT_INIT, start, strict_init
from pinas_mm.models.pointwise import make_pointwise
from pinas_mm.operations import BlockSpec
from pinas_mm.operations.norms import check_norm
from pinas_mm.space import SearchSpace
from pinas_mm.whole_numbers import is_whole

# What a network is built by besides its space; attributes, and arguments of the same names.
BUILT_BY = ("in_channels", "strides", "dilations", "out_indices", "norm_cfg", "memory_format")
# By PyTorch's names.
CHANNELS_LAST = "channels_last"
MEMORY_FORMATS = {
    CHANNELS_LAST: torch.channels_last,
    "contiguous_format": torch.contiguous_format,
}


class Network(BaseModule):
    """A search space's skeleton: stem, stages ``layer1``, ``layer2``, ... and what joins them.

    Subclasses say which candidates stand at each place (:meth:`choices_at`) and what becomes of
    them there (:meth:`place`).

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
        memory_format: how feature maps and weights lie in memory, ``channels_last`` or
            ``contiguous_format``. What is computed is the same but for rounding.
        zero_init_last: every block starts as its shortcut, where it has one.
        init_cfg: mmengine's weight initialization; None is Kaiming, norms at one. The type
            ``Pretrained`` means :class:`pinas_mm.weights.initializers.Pretrained`.

    Attributes:
        specs: the choice blocks' specs, with this network's strides and dilations.
        fixed: names of the parameters that were built not to learn, which no ``init_cfg`` draws.

    Raises:
        UserError: ``out_indices``, ``frozen_stages``, strides or dilations do not fit the stages,
            ``norm_cfg`` not the channels; there is no such memory format; an operation cannot be
            built, or gives another shape than its place asks for.
    """

    def __init__(
        self,
        space: SearchSpace | dict[str, Any] | None,
        in_channels: int,
        strides: Sequence[int] | None,
        dilations: Sequence[int] | None,
        out_indices: Sequence[int],
        frozen_stages: int,
        norm_cfg: dict[str, Any] | None,
        norm_eval: bool,
        with_cp: bool,
        memory_format: str,
        zero_init_last: bool,
        init_cfg: dict[str, Any] | list[Any] | None,
    ) -> None:
        super().__init__(strict_init(DEFAULT_INIT if init_cfg is None else init_cfg))
        self.space = SearchSpace.build(space)
        self.out_indices = self._checked_indices(out_indices)
        if not is_whole(frozen_stages, -1, self.num_stages):
            raise UserError(
                f"frozen_stages is {frozen_stages!r}: allowed are -1 to {self.num_stages}"
            )
        if not is_whole(in_channels, 1):
            raise UserError(f"in_channels is {in_channels!r}: a number of at least 1 is allowed")
        self.memory_format, layout = memory_format, layout_of(memory_format)
        self.in_channels, self.strides, self.dilations = int(in_channels), strides, dilations
        self.frozen_stages = frozen_stages
        self.norm_cfg = dict(type="BN") if norm_cfg is None else norm_cfg
        self.norm_eval, self.with_cp, self.zero_init_last = norm_eval, with_cp, zero_init_last
        self.specs = tuple(self._placed(self.space.blocks(strides, dilations)))
        check_norm(self.norm_cfg, self._with_batch_norms)
        self._build()
        self.fixed = {n for n, parameter in self.named_parameters() if not parameter.requires_grad}
        make_pointwise(self)
        self.to(memory_format=layout)  # type: ignore[call-overload]  # PyTorch's gap.
        for module in self._frozen_modules:
            module.requires_grad_(False)
        if hasattr(self, "output") and self.num_stages - 1 not in self.out_indices:
            # Weights are the same whatever is returned; what nothing runs does not learn.
            self.output.requires_grad_(False)
        self.train()

    def choices_at(self, number: int) -> list[int]:
        """The candidates at choice block ``number`` (counted through all stages)."""
        raise NotImplementedError(f"{type(self).__name__} must define choices_at()")

    def place(self, candidates: dict[int, nn.Module], shortcut: nn.Module | None) -> nn.Module:
        """The module that stands at a choice block, of its candidates by index."""
        raise NotImplementedError(f"{type(self).__name__} must define place()")

    def _placed(self, specs: Iterable[BlockSpec]) -> Iterable[BlockSpec]:
        """The specs as this kind of network has them."""
        return specs

    @property
    def num_stages(self) -> int:
        """Stages of the space."""
        return len(self.space.depths)

    @property
    def stages(self) -> list[nn.ModuleList]:
        """The stages' modules, first stage first."""
        return [getattr(self, f"layer{stage + 1}") for stage in range(self.num_stages)]

    @property
    def stem_modules(self) -> list[nn.Module]:
        """The stem's modules, in the order they run."""
        return [getattr(self, name) for name in self._stem_names]

    @property
    def around(self) -> list[nn.Module]:
        """What there is besides stem and blocks: between stages, and after the last."""
        names = [*(f"transition{n + 1}" for n in range(self.num_stages)), "output"]
        return [getattr(self, name) for name in names if hasattr(self, name)]

    def block(self, number: int) -> nn.Module:
        """The module at choice block ``number``."""
        spec = self.specs[number]
        return getattr(self, f"layer{spec.stage + 1}")[spec.index]

    def cell(self, number: int, choice: int | None = None) -> list[nn.Module]:
        """The modules that run at choice block ``number``, the stage's transition among them.

        Args:
            number: counted through all stages.
            choice: the candidate, in a supernet.
        """
        spec, block = self.specs[number], self.block(number)
        transition = getattr(self, f"transition{spec.stage + 1}", None) if spec.first else None
        running = [block] if choice is None else cast(ChoiceBlock, block).running(choice)
        return running if transition is None else [transition, *running]

    def forward_stem(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) to the stem's output, in the network's memory format."""
        x = x.contiguous(memory_format=layout_of(self.memory_format))
        for module in self.stem_modules:
            x = module(x)
        return x

    def forward_cell(self, x: torch.Tensor, number: int, choice: int | None = None) -> torch.Tensor:
        """Runs a :meth:`cell`; recomputed in the backward pass where ``with_cp`` says so."""
        spec, block = self.specs[number], self.block(number)
        if spec.first and hasattr(self, f"transition{spec.stage + 1}"):
            x = getattr(self, f"transition{spec.stage + 1}")(x)
        running = [block] if choice is None else cast(ChoiceBlock, block).running(choice)
        if self.with_cp and x.requires_grad:
            return checkpoint(
                running[0],
                x,
                use_reentrant=False,
                context_fn=lambda: (contextlib.nullcontext(), uncounted_batches(*running)),
            )
        return running[0](x)

    def returned_after(self, number: int) -> int | None:
        """The stage whose feature map is returned after a choice block; None for none."""
        stage = self.specs[number].stage
        last = self.specs[number].index == self.space.depths[stage] - 1
        return stage if last and stage in self.out_indices else None

    def forward_output(self, x: torch.Tensor, stage: int) -> torch.Tensor:
        """What a stage's feature map passes before it is returned."""
        last = stage == self.num_stages - 1
        return self.output(x) if last and hasattr(self, "output") else x

    def forward_path(self, x: torch.Tensor, path: Sequence[int | None]) -> tuple[torch.Tensor, ...]:
        """Images (N, in_channels, H, W) to one feature map for each of ``out_indices``.

        Args:
            x: the images.
            path: a candidate for each choice block, or Nones where there is nothing to choose.

        Raises:
            UserError: batch norms cannot normalize a single image in training mode.
        """
        outs = []
        with _normalizable(x):
            x = self.forward_stem(x)
            for number in range(self.num_running):
                x = self.forward_cell(x, number, path[number])
                stage = self.returned_after(number)
                if stage is not None:
                    outs.append(self.forward_output(x, stage))
        return tuple(outs)

    @property
    def num_running(self) -> int:
        """Choice blocks up to the last stage whose feature map is returned."""
        return sum(self.space.depths[: self.out_indices[-1] + 1])

    def init_weights(self) -> None:
        """As :func:`~pinas_mm.models.initial_weights.start` says; only once, as in mmengine."""
        if self.is_init:
            super().init_weights()  # type: ignore[no-untyped-call]  # mmengine's, which warns.
        elif hasattr(self, "_params_init_info"):
            start(self)
            self.is_init = True
        else:
            # mmengine's outermost module notes what became of each parameter.
            cast(Any, ModuleDict({"network": self})).init_weights()

    def train(self, mode: bool = True) -> Network:
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
        stages = range(max(self.frozen_stages, 0))
        stem = self.stem_modules if self.frozen_stages >= 0 else []
        names = (f"{kind}{n + 1}" for n in stages for kind in ("transition", "layer"))
        return [*stem, *(getattr(self, name) for name in names if hasattr(self, name))]

    def _checked_indices(self, out_indices: Sequence[int]) -> tuple[int, ...]:
        indices = list(out_indices) if isinstance(out_indices, Iterable) else out_indices
        stages = range(self.num_stages)
        if (
            not indices
            or not isinstance(indices, list)
            or not all(is_whole(index) and index in stages for index in indices)
            or indices != sorted(set(indices))
        ):
            raise UserError(
                f"out_indices is {indices!r}: allowed are ascending stages from 0 to "
                f"{self.num_stages - 1}"
            )
        return tuple(indices)

    def _with_batch_norms(self) -> nn.Module:
        """The same network without memory, with batch norms; called before it is built."""
        twin = copy.deepcopy(self)
        twin.norm_cfg = dict(type="BN")
        with torch.device("meta"):
            twin._build()
        return twin

    def _build(self) -> None:
        space, skeleton, norm_cfg = self.space, self.space.skeleton, self.norm_cfg
        stem = skeleton.stem(self.in_channels, space.widths, norm_cfg)
        self._stem_names = tuple(stem)
        for name, module in stem.items():
            self.add_module(name, module)
        channels = skeleton.block_channels(space.widths)
        ins = (skeleton.stem_channels(space.widths), *channels)
        strides = space.strides if self.strides is None else self.strides
        for stage in range(self.num_stages):
            transition = skeleton.transition(
                ins[stage], channels[stage], space.strides[stage], strides[stage]
            )
            if transition is not None:
                self.add_module(f"transition{stage + 1}", transition)
            blocks = [
                self._block(number, spec)
                for number, spec in enumerate(self.specs)
                if spec.stage == stage
            ]
            self.add_module(f"layer{stage + 1}", nn.ModuleList(blocks))
        output = skeleton.output(space.widths, norm_cfg)
        if output is not None:
            self.output = output

    def _block(self, number: int, spec: BlockSpec) -> nn.Module:
        shortcut = self.space.skeleton.shortcut(spec, self.norm_cfg)
        candidates = {}
        for choice in self.choices_at(number):
            operation = self.space.candidates[choice]
            with named(f"candidate {choice} ({operation.label}) at block {number}", spec):
                candidates[choice] = build_candidate(operation, spec, shortcut, self.norm_cfg)
        return self.place(candidates, shortcut)


def layout_of(memory_format: str) -> torch.memory_format:
    """PyTorch's memory format by its name.

    Raises:
        UserError: no memory format for feature maps has this name.
    """
    # What a config gives may be unhashable.
    if memory_format not in list(MEMORY_FORMATS):
        raise UserError(
            f"memory_format is {memory_format!r}: allowed are {', '.join(MEMORY_FORMATS)}"
        )
    return MEMORY_FORMATS[memory_format]


@contextlib.contextmanager
def _normalizable(x: torch.Tensor) -> Iterator[None]:
    """What PyTorch says of batches that have one value a channel, for people."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UserError(
            f"in training mode batch norms cannot normalize images of shape {tuple(x.shape)}, of "
            "which one value a channel is left: call .eval() on the network first, or give it two "
            "images or more"
        ) from error
