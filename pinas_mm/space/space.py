"""The search space: which operation may stand where. No torch here: samplers need none."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinas_mm.errors import UserError
from pinas_mm.operations import BlockSpec, Operation, ResNeStBottleneck
from pinas_mm.skeletons import ResNeStSkeleton, Skeleton
from pinas_mm.space.arch import Arch, read_arch
from pinas_mm.space.reading import (
    read_allowed,
    read_candidates,
    read_counts,
    read_skeleton,
)
from pinas_mm.whole_numbers import is_whole

PAPER_CANDIDATES = (
    ResNeStBottleneck(1, 1, 64),
    ResNeStBottleneck(2, 1, 64),
    ResNeStBottleneck(1, 2, 42),
    ResNeStBottleneck(2, 2, 40),
)
# More is a slip of the pen, and takes minutes to look at.
MAX_BLOCKS = 1000
# What a space may say of its skeleton without naming it.
OF_SKELETON = ("expansion", "stem_widths", "stem_stride", "stem_pool")


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """Every architecture of a skeleton; the defaults are Pi-NAS's 4^16 (paper, 4.1).

    Args:
        candidates: what choice blocks can be, at most 36: an :class:`Operation`, its config with a
            ``type``, or ``(radix, groups, base_width)`` of a ResNeSt bottleneck.
        depths: choice blocks of each stage.
        widths: planes of each stage, which operations take their widths from.
        strides: of each stage.
        expansion, stem_widths, stem_stride, stem_pool: of the skeleton, where it has them.
        skeleton: a :class:`Skeleton`, its config or its type; of what is None in depths, widths and
            strides it has defaults.
        allowed: candidates by stage or block, ``{'layer1': [0, 1], 'layer2.0': [2]}``; or a list
            of them for each block, or booleans of shape (blocks, candidates). None is wherever an
            operation fits.

    Raises:
        UserError: a number is not positive, the stages' lists differ in length, an operation or a
            skeleton is unknown, a candidate's numbers are wrong for a block or it stands nowhere, a
            block has no candidate left.
    """

    candidates: tuple[Operation, ...] = PAPER_CANDIDATES
    # None is what the skeleton has, which they hold from then on.
    depths: tuple[int, ...] = None  # type: ignore[assignment]
    widths: tuple[int, ...] = None  # type: ignore[assignment]
    strides: tuple[int, ...] = None  # type: ignore[assignment]
    expansion: int | None = None
    stem_widths: tuple[int, ...] | None = None
    stem_stride: int | None = None
    stem_pool: bool | None = None
    skeleton: Skeleton = ResNeStSkeleton()  # noqa: RUF009
    allowed: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        self._set("candidates", read_candidates(self.candidates))
        of_skeleton = {name: getattr(self, name) for name in OF_SKELETON}
        skeleton = read_skeleton(self.skeleton, of_skeleton)
        self._set("skeleton", skeleton)
        for name in OF_SKELETON:
            self._set(name, getattr(skeleton, name, None))
        for name in ("depths", "widths", "strides"):
            given = getattr(self, name)
            self._set(name, read_counts(name, getattr(skeleton, name) if given is None else given))
        if not len(self.depths) == len(self.widths) == len(self.strides):
            raise UserError(
                "depths, widths and strides name one number a stage, but have "
                f"{len(self.depths)}, {len(self.widths)} and {len(self.strides)}"
            )
        if self.num_blocks > MAX_BLOCKS:
            raise UserError(f"depths are {self.depths}: allowed are {MAX_BLOCKS} blocks in all")
        self._set("allowed", read_allowed(self.allowed, self))
        self._check_places()

    @classmethod
    def build(cls, config: SearchSpace | dict[str, Any] | None) -> SearchSpace:
        """A space from a config dict of the constructor's arguments; None means the default.

        Raises:
            UserError: it is no such dict, the dict has others, or the constructor refuses one.
        """
        if isinstance(config, SearchSpace):
            return config
        if not (config is None or isinstance(config, Mapping)):
            raise UserError(
                f"search space is {config!r}: give a SearchSpace, a dict of its arguments, or None "
                "for the paper's"
            )
        config = dict(config or {})
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(config) - set(known))
        if unknown:
            raise UserError(f"search space has no {', '.join(unknown)}; it has {', '.join(known)}")
        return cls(**config)

    @property
    def num_blocks(self) -> int:
        """Choice blocks of all stages together."""
        return sum(self.depths)

    @property
    def num_candidates(self) -> int:
        """Candidates there are; a block can have fewer, see :attr:`mask`."""
        return len(self.candidates)

    @functools.cached_property
    def mask(self) -> NDArray[Any]:
        """Which candidate may stand in which block, bools of shape (blocks, candidates)."""
        fits = [[c.fits(spec) for c in self.candidates] for spec in self.blocks()]
        mask = np.array(fits, dtype=bool).reshape(self.num_blocks, self.num_candidates)
        if self.allowed is not None:
            for row, choices in zip(mask, self.allowed, strict=True):
                row[[c for c in range(self.num_candidates) if c not in choices]] = False
        mask.flags.writeable = False
        return mask

    @functools.cached_property
    def counts(self) -> NDArray[Any]:
        """How many candidates each block has, shape (blocks,)."""
        return self.mask.sum(axis=1)

    @property
    def size(self) -> int:
        """How many architectures there are."""
        return math.prod(self.counts.tolist())

    @property
    def out_channels(self) -> tuple[int, ...]:
        """Channels of the feature map that each stage returns."""
        return self.skeleton.out_channels(self.widths)

    @property
    def reductions(self) -> tuple[int, ...]:
        """How many times smaller than the images each stage's feature map is."""
        stem = self.skeleton.stem_reduction
        return tuple(stem * math.prod(self.strides[: n + 1]) for n in range(len(self.strides)))

    def blocks(
        self, strides: Sequence[int] | None = None, dilations: Sequence[int] | None = None
    ) -> Iterator[BlockSpec]:
        """The choice blocks in order, for other strides or dilations a stage if given.

        A dilated stage's first block uses half its dilation, as the release does. Which blocks
        project their shortcut is the same for all strides, so that all have the same weights.

        Raises:
            UserError: not one positive number a stage, or a stride that asks for a projection
                which the space's own strides do not, or the reverse.
        """
        strides = self._per_stage("strides", self.strides if strides is None else strides)
        dilations = (1,) * len(self.depths) if dilations is None else dilations
        dilations = self._per_stage("dilations", dilations)
        self._check_projections(strides)
        channels, apart = self.skeleton.block_channels(self.widths), self.skeleton.transitions
        in_channels = self.skeleton.stem_channels(self.widths)
        for stage, depth in enumerate(self.depths):
            in_channels = channels[stage] if apart else in_channels
            for index in range(depth):
                yield BlockSpec(
                    stage=stage,
                    index=index,
                    in_channels=in_channels,
                    planes=self.widths[stage],
                    out_channels=channels[stage],
                    stride=strides[stage] if index == 0 and not apart else 1,
                    dilation=max(dilations[stage] // 2, 1) if index == 0 else dilations[stage],
                    rectified=self.skeleton.rectified,
                )
                in_channels = channels[stage]

    def arch(self, value: Any) -> Arch:
        """Reads an architecture in any form: text with or without separators, a list, array or
        tensor of whole numbers, Arch, name, or what has one as ``arch``, as a search's findings.

        Names are those of :data:`pinas_mm.space.arch.PUBLISHED`, and mean something in the paper's
        space only; its strides and stem may differ.

        Raises:
            UserError: wrong length, an index out of range or of a candidate that may not stand
                there, a character that names no candidate; the message has the position (counted
                from 0), the value and what is allowed. An unknown name, or a name in another space.
        """
        return read_arch(value, self)

    def draw(self, number: int, rng: np.random.Generator) -> NDArray[Any]:
        """Architectures drawn uniformly, as candidate indices of shape (number, blocks).

        Raises:
            UserError: ``rng`` is no generator.
        """
        if not isinstance(rng, np.random.Generator):
            raise UserError(f"rng is {rng!r}: give a generator, as numpy.random.default_rng(0)")
        if self.mask.all():
            return rng.integers(self.num_candidates, size=(number, self.num_blocks))
        places = rng.integers(self.counts, size=(number, self.num_blocks))
        return self._order[np.arange(self.num_blocks), places]

    def random(self, rng: np.random.Generator) -> Arch:
        """An architecture drawn uniformly."""
        return Arch(self.draw(1, rng)[0], self.depths)

    def sample(self, number: int, rng: np.random.Generator) -> list[Arch]:
        """Different architectures, drawn uniformly.

        Raises:
            UserError: the space has fewer, or ``rng`` is no generator.
        """
        if not is_whole(number, 0, self.size):
            raise UserError(f"{number!r} different architectures asked for, there are {self.size}")
        drawn: dict[Arch, None] = {}
        while len(drawn) < number:
            drawn[self.random(rng)] = None
        return list(drawn)

    def everything(self, blocks: Sequence[int] | None = None) -> NDArray[Any]:
        """All architectures, as candidate indices of shape (size, blocks); for small spaces.

        Args:
            blocks: numbers of the choice blocks to combine; None is all.
        """
        blocks = range(self.num_blocks) if blocks is None else blocks
        counts = [int(self.counts[block]) for block in blocks]
        # Not by numpy.indices, whose arrays have a dimension a block, at most 32.
        numbers = np.arange(math.prod(counts))
        columns = []
        for block, count in reversed(list(zip(blocks, counts, strict=True))):
            numbers, places = np.divmod(numbers, count)
            columns.append(self._order[block, places])
        return np.stack(columns[::-1], axis=1) if columns else np.zeros((1, 0), dtype=np.int64)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types only; ``SearchSpace.build(space.to_dict()) == space``."""
        plain = dict(
            candidates=[candidate.to_dict() for candidate in self.candidates],
            depths=list(self.depths),
            widths=list(self.widths),
            strides=list(self.strides),
        )
        # Not of a subclass, which a space names.
        if type(self.skeleton) is ResNeStSkeleton:
            plain |= {name: _listed(getattr(self, name)) for name in OF_SKELETON}
        else:
            plain["skeleton"] = self.skeleton.to_dict()
        if self.allowed is not None:
            plain["allowed"] = [list(choices) for choices in self.allowed]
        return plain

    def __str__(self) -> str:
        size = self.size
        about = f"{float(size):.2g}" if size < 1e300 else f"10^{len(str(size)) - 1}"
        power = f"{self.num_candidates}^{self.num_blocks} = " if self.mask.all() else ""
        stages = "-".join(map(str, self.depths))
        return f"{power}{about} architectures, stages of {stages} blocks"

    @functools.cached_property
    def _order(self) -> NDArray[Any]:
        """Each block's candidates, ascending, before those it has not; (blocks, candidates)."""
        return np.argsort(~self.mask, axis=1, kind="stable")

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_places(self) -> None:
        mask = self.mask
        for number, spec in enumerate(self.blocks()):
            if not mask[number].any():
                chosen = (
                    range(self.num_candidates) if self.allowed is None else self.allowed[number]
                )
                raise UserError(
                    f"block {number} ({spec.name}) has no candidate left: of "
                    f"{', '.join(map(str, chosen)) or 'none'} none fits where the stride is "
                    f"{spec.stride} and {spec.in_channels} channels become {spec.out_channels}"
                )
            for choice in np.flatnonzero(mask[number]):
                try:
                    self.candidates[choice].check(spec)
                except UserError as error:
                    raise UserError(f"candidate {choice} {error}") from None
        for choice in np.flatnonzero(~mask.any(axis=0)):
            raise UserError(
                f"candidate {choice} ({self.candidates[choice].label}) stands in no block: take it "
                "out, or change strides, widths or allowed"
            )

    def _per_stage(self, name: str, values: Sequence[int]) -> tuple[int, ...]:
        values = read_counts(name, values)
        if len(values) != len(self.depths):
            raise UserError(
                f"{name} {list(values)} has {len(values)} numbers, the space {len(self.depths)} "
                "stages: give one a stage"
            )
        return values

    def _check_projections(self, strides: Sequence[int]) -> None:
        channels = self.skeleton.block_channels(self.widths)
        ins = (self.skeleton.stem_channels(self.widths), *channels)
        for stage, (stride, own) in enumerate(zip(strides, self.strides, strict=True)):
            if ins[stage] == ins[stage + 1] and (stride == 1) != (own == 1):
                why, allowed = (
                    ("the space does not stride, and nothing projects the shortcut", "1 is")
                    if own == 1
                    else ("the shortcut is projected because the space strides", "2 and more are")
                )
                raise UserError(
                    f"strides {list(strides)} do not fit the search space: at layer{stage + 1} "
                    f"{why}, so that {allowed} allowed, not {stride}"
                )


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
