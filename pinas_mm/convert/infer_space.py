"""The search space, and of a stand-alone network the architecture, that weights' shapes show."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pinas_mm.convert.block_shape import BlockShape, conv_shape, measure
from pinas_mm.convert.layout import Layout
from pinas_mm.errors import UserError
from pinas_mm.operations import ResNeStBottleneck, ResNeStFastBottleneck
from pinas_mm.space import PAPER_CANDIDATES, Arch, SearchSpace


def infer_space(
    state: Mapping[str, torch.Tensor], layout: Layout, avd_first: bool = False
) -> tuple[SearchSpace, Arch | None]:
    """Reads search space and architecture from the shapes of a backbone's weights.

    Shapes do not tell everything. Where the paper's candidates fit, they are taken; otherwise a
    stand-alone network's candidates are numbered as they first appear. Strides are the paper's
    but where a missing or needless shortcut speaks against it; the stem's stride and pooling are
    the paper's. Nor do they show where a striding block pools.

    Args:
        state: the backbone's weights under the release's names, complete.
        layout: of these names.
        avd_first: whether blocks pool before their 3x3 convolution, as ResNeSt's fast variants.

    Returns:
        The space; the architecture, None for a supernet.

    Raises:
        UserError: no search space has weights of these shapes.
    """
    rows = [
        [measure(state, stage, prefix) for prefix in prefixes]
        for stage, _, prefixes in layout.blocks()
    ]
    outs = [conv_shape(state, prefix + "conv3.weight")[0] for prefix in _first_blocks(layout)]
    stem_widths = [conv_shape(state, f"conv1.{number}.weight")[0] for number in (0, 3, 6)]
    # A space with another expansion has an equal twin with one of these: its widths are planes
    # times expansion, and only their product shows.
    for expansion in (4, math.gcd(*outs)):
        if any(out % expansion for out in outs):
            continue
        skeleton: dict[str, Any] = dict(
            depths=layout.depths,
            widths=tuple(out // expansion for out in outs),
            strides=_strides(layout, stem_widths[-1], outs),
            expansion=expansion,
            stem_widths=tuple(stem_widths),
        )
        candidates = _candidates(rows, skeleton, supernet=layout.candidates > 0)
        if candidates and avd_first:
            candidates = tuple(ResNeStFastBottleneck(**dataclasses.asdict(c)) for c in candidates)
        if candidates:
            space = SearchSpace(candidates=candidates, **skeleton)
            return space, None if layout.candidates else _arch(rows, space)
    raise UserError(
        "the candidates' widths differ from stage to stage as in no search space: blocks, radix, "
        "groups and base width cannot be told from them"
    )


def _first_blocks(layout: Layout) -> list[str]:
    return [prefixes[0] for _, block, prefixes in layout.blocks() if block == 0]


def _strides(layout: Layout, channels: int, outs: Sequence[int]) -> tuple[int, ...]:
    strides = []
    for stage, out in enumerate(outs):
        projected = (stage, 0) in layout.shortcuts
        needless = projected and channels == out
        strides.append(2 if needless or (projected and stage > 0) else 1)
        channels = out
    return tuple(strides)


def _candidates(
    rows: list[list[BlockShape]], skeleton: dict[str, Any], supernet: bool
) -> tuple[ResNeStBottleneck, ...] | None:
    """Candidates that give all blocks' operations; None if there are none."""
    widths = skeleton["widths"]
    if _fit(rows, PAPER_CANDIDATES, widths, supernet) and _valid(PAPER_CANDIDATES, skeleton):
        return PAPER_CANDIDATES
    families: list[list[BlockShape]] = []
    if supernet:
        families = [list(column) for column in zip(*rows, strict=True)]
    else:
        for (operation,) in rows:
            for family in families:
                if _base_widths([*family, operation], widths):
                    family.append(operation)
                    break
            else:
                families.append([operation])
    candidates = [_candidate(family, skeleton) for family in families]
    known = tuple(candidate for candidate in candidates if candidate is not None)
    return known if len(known) == len(candidates) else None


def _fit(
    rows: list[list[BlockShape]],
    candidates: Sequence[ResNeStBottleneck],
    widths: Sequence[int],
    supernet: bool,
) -> bool:
    """Whether each block has exactly these candidates, or for a stand-alone one of them."""
    if supernet:
        return all(
            len(row) == len(candidates)
            and all(
                op.is_candidate(c, widths[op.stage]) for op, c in zip(row, candidates, strict=True)
            )
            for row in rows
        )
    return all(
        any(op.is_candidate(candidate, widths[op.stage]) for candidate in candidates)
        for (op,) in rows
    )


def _base_widths(family: Sequence[BlockShape], widths: Sequence[int]) -> range:
    """The base widths that one candidate can have to be all these operations."""
    if len({(op.radix, op.groups) for op in family}) > 1:
        return range(0)
    ranges = [op.base_widths(widths[op.stage]) for op in family]
    return range(max(r.start for r in ranges), min(r.stop for r in ranges))


def _candidate(family: Sequence[BlockShape], skeleton: dict[str, Any]) -> ResNeStBottleneck | None:
    for base_width in _base_widths(family, skeleton["widths"]):
        candidate = ResNeStBottleneck(family[0].radix, family[0].groups, base_width)
        if _valid((candidate,), skeleton):
            return candidate
    return None


def _valid(candidates: tuple[ResNeStBottleneck, ...], skeleton: dict[str, Any]) -> bool:
    """Whether groups and radix divide the channels also of stages they were not seen in."""
    try:
        SearchSpace(candidates=candidates, **skeleton)
    except UserError:
        return False
    return True


def _arch(rows: list[list[BlockShape]], space: SearchSpace) -> Arch:
    return space.arch(
        [
            next(
                number
                for number, candidate in enumerate(space.candidates)
                if isinstance(candidate, ResNeStBottleneck)
                and op.is_candidate(candidate, space.widths[op.stage])
            )
            for (op,) in rows
        ]
    )
