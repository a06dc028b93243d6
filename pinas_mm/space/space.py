"""The search space. No torch here: costs and samplers need none."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from pinas_mm.errors import UserError
from pinas_mm.space.arch import SYMBOLS, Arch, read_arch


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One operation a choice block can take: a ResNeSt bottleneck's free numbers.

    Args:
        radix: splits that attention weighs (1: one split, a sigmoid gate).
        groups: cardinality.
        base_width: width of a group at 64 planes.
    """

    radix: int
    groups: int
    base_width: int

    def group_width(self, planes: int) -> int:
        """Channels of the block's 3x3 convolution, before the radix multiplies them."""
        return int(planes * self.base_width / 64) * self.groups

    def attention_width(self, planes: int) -> int:
        """Hidden channels of the split attention (ResNeSt: reduction 4, at least 32)."""
        return max(self.group_width(planes) * self.radix // 4, 32)


@dataclasses.dataclass(frozen=True)
class BlockSpec:
    """Where a choice block stands and what all its candidates have in common."""

    stage: int
    index: int
    in_channels: int
    planes: int
    out_channels: int
    stride: int
    dilation: int

    @property
    def first(self) -> bool:
        """Whether it is its stage's first block."""
        return self.index == 0

    @property
    def shortcut(self) -> bool:
        """Whether its identity path needs a projection: stride or channels change."""
        return self.stride != 1 or self.in_channels != self.out_channels


PAPER_CANDIDATES = (
    Candidate(1, 1, 64),
    Candidate(2, 1, 64),
    Candidate(1, 2, 42),
    Candidate(2, 2, 40),
)


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """Every architecture of a ResNeSt-like skeleton; the defaults are Pi-NAS's 4^16 (paper, 4.1).

    Args:
        candidates: what each choice block can be, as :class:`Candidate`, dicts or
            ``(radix, groups, base_width)``; at most 36.
        depths: choice blocks of each stage.
        widths: planes of each stage; a block puts out ``planes * expansion`` channels.
        strides: stride of each stage's first block.
        expansion: output channels per plane.
        stem_widths: channels of the stem's three 3x3 convolutions.
        stem_stride: stride of the stem's first convolution.
        stem_pool: whether a 3x3 max pool of stride 2 ends the stem.

    Raises:
        UserError: a number is not positive, the stages' lists differ in length, or a candidate
            has no channels at one of the widths.
    """

    candidates: tuple[Candidate, ...] = PAPER_CANDIDATES
    depths: tuple[int, ...] = (3, 4, 6, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    strides: tuple[int, ...] = (1, 2, 2, 2)
    expansion: int = 4
    stem_widths: tuple[int, int, int] = (32, 32, 64)
    stem_stride: int = 2
    stem_pool: bool = True

    def __post_init__(self) -> None:
        candidates = tuple(_candidate(index, value) for index, value in enumerate(self.candidates))
        object.__setattr__(self, "candidates", candidates)
        if not 1 <= len(candidates) <= len(SYMBOLS):
            raise UserError(f"a space needs 1 to {len(SYMBOLS)} candidates, not {len(candidates)}")
        for name in ("depths", "widths", "strides", "stem_widths"):
            object.__setattr__(self, name, _positive(name, getattr(self, name)))
        _positive("expansion and stem_stride", (self.expansion, self.stem_stride))
        if not len(self.depths) == len(self.widths) == len(self.strides):
            raise UserError(
                "depths, widths and strides name one number a stage, but have "
                f"{len(self.depths)}, {len(self.widths)} and {len(self.strides)}"
            )
        if len(self.stem_widths) != 3:
            raise UserError(f"stem_widths needs 3 numbers, not {len(self.stem_widths)}")
        for index, candidate in enumerate(candidates):
            for width in self.widths:
                if candidate.group_width(width) < 1:
                    raise UserError(
                        f"candidate {index} has no channels at width {width}: raise its "
                        f"base_width ({candidate.base_width})"
                    )
                if candidate.group_width(width) % (candidate.groups * candidate.radix):
                    raise UserError(
                        f"candidate {index} has {candidate.group_width(width)} channels at width "
                        f"{width}, which {candidate.groups} groups x radix {candidate.radix} do "
                        "not divide: choose another base_width or width"
                    )
                if candidate.attention_width(width) % candidate.groups:
                    raise UserError(
                        f"candidate {index} has {candidate.attention_width(width)} attention "
                        f"channels at width {width}, which {candidate.groups} groups do not "
                        "divide: choose another base_width or groups"
                    )

    @classmethod
    def build(cls, config: SearchSpace | dict[str, Any] | None) -> SearchSpace:
        """A space from a config dict of the constructor's arguments; None means the default."""
        if isinstance(config, cls):
            return config
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
        """Candidates of each choice block."""
        return len(self.candidates)

    @property
    def size(self) -> int:
        """How many architectures there are."""
        return self.num_candidates**self.num_blocks

    @property
    def out_channels(self) -> tuple[int, ...]:
        """Output channels of each stage."""
        return tuple(width * self.expansion for width in self.widths)

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
        in_channels = self.stem_widths[-1]
        for stage, depth in enumerate(self.depths):
            for index in range(depth):
                yield BlockSpec(
                    stage=stage,
                    index=index,
                    in_channels=in_channels,
                    planes=self.widths[stage],
                    out_channels=self.out_channels[stage],
                    stride=strides[stage] if index == 0 else 1,
                    dilation=max(dilations[stage] // 2, 1) if index == 0 else dilations[stage],
                )
                in_channels = self.out_channels[stage]

    def arch(self, value: Any) -> Arch:
        """Reads an architecture in any form: text with or without separators, list, Arch, name.

        Names are those of :data:`pinas_mm.space.arch.PUBLISHED`, and mean something in the paper's
        space only; its strides and stem may differ.

        Raises:
            UserError: wrong length, an index out of range, a character that names no candidate;
                the message has the position (counted from 0), the value and what is allowed. An
                unknown name, or a name in another space.
        """
        return read_arch(value, self)

    def random(self, rng: np.random.Generator) -> Arch:
        """An architecture drawn uniformly."""
        return Arch(rng.integers(self.num_candidates, size=self.num_blocks), self.depths)

    def sample(self, number: int, rng: np.random.Generator) -> list[Arch]:
        """Different architectures, drawn uniformly.

        Raises:
            UserError: the space has fewer.
        """
        if number > self.size:
            raise UserError(f"{number} different architectures asked for, there are {self.size}")
        drawn: dict[Arch, None] = {}
        while len(drawn) < number:
            drawn[self.random(rng)] = None
        return list(drawn)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types only; ``SearchSpace.build(space.to_dict()) == space``."""
        plain = dataclasses.asdict(self)
        plain["candidates"] = list(plain["candidates"])
        return {key: list(v) if isinstance(v, tuple) else v for key, v in plain.items()}

    def __str__(self) -> str:
        return (
            f"{self.num_candidates}^{self.num_blocks} = {float(self.size):.2g} architectures, "
            f"stages of {'-'.join(map(str, self.depths))} blocks"
        )

    def _per_stage(self, name: str, values: Sequence[int]) -> tuple[int, ...]:
        values = _positive(name, values)
        if len(values) != len(self.depths):
            raise UserError(
                f"{name} {list(values)} has {len(values)} numbers, the space {len(self.depths)} "
                "stages: give one a stage"
            )
        return values

    def _check_projections(self, strides: Sequence[int]) -> None:
        ins = (self.stem_widths[-1], *self.out_channels)
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


def _candidate(index: int, value: Any) -> Candidate:
    try:
        if isinstance(value, dict):
            value = Candidate(**value)
        elif not isinstance(value, Candidate):
            value = Candidate(*value)
    except TypeError:
        raise UserError(
            f"candidate {index} is {value!r}: give radix, groups and base_width"
        ) from None
    _positive(f"candidate {index}", dataclasses.astuple(value))
    return value


def _positive(name: str, values: Iterable[Any]) -> tuple[int, ...]:
    given = list(values) if isinstance(values, Iterable) else values
    if not given or not isinstance(given, list) or not all(map(_is_count, given)):
        raise UserError(f"{name} must be whole numbers of at least 1, not {given}")
    return tuple(given)


def _is_count(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= 1
