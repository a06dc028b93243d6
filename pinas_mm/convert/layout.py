"""What the release's backbones call their weights, and which of these names belong together."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Iterator


def norm_names(norm: str) -> tuple[str, ...]:
    """The state-dict names of a batch norm."""
    parts = "weight", "bias", "running_mean", "running_var", "num_batches_tracked"
    return tuple(f"{norm}.{part}" for part in parts)


STEM = (
    "conv1.0.weight",
    *norm_names("conv1.1"),
    "conv1.3.weight",
    *norm_names("conv1.4"),
    "conv1.6.weight",
    *norm_names("bn1"),
)
BLOCK = (
    "conv1.weight",
    *norm_names("bn1"),
    "conv2.conv.weight",
    *norm_names("conv2.bn0"),
    "conv2.fc1.weight",
    "conv2.fc1.bias",
    *norm_names("conv2.bn1"),
    "conv2.fc2.weight",
    "conv2.fc2.bias",
    "conv3.weight",
    *norm_names("bn3"),
)
SHORTCUT = ("downsample.1.weight", *norm_names("downsample.2"))

# A supernet's names have the candidate's index after the block's.
SUPERNET_NAME = re.compile(r"layer(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.([a-z].*)")
STANDALONE_NAME = re.compile(r"layer(\d{1,3})\.(\d{1,3})()\.([a-z].*)")


@dataclasses.dataclass(frozen=True)
class Layout:
    """How many blocks a backbone has, and how many candidates each.

    Args:
        depths: choice blocks of each stage.
        candidates: candidates of every block; 0 for a stand-alone network.
        shortcuts: (stage, block), counted from 0, of the blocks whose identity is projected.
    """

    depths: tuple[int, ...]
    candidates: int
    shortcuts: frozenset[tuple[int, int]]

    def blocks(self) -> Iterator[tuple[int, int, list[str]]]:
        """Stage and block, counted from 0, and the prefix of each of the block's candidates."""
        for stage, depth in enumerate(self.depths):
            for block in range(depth):
                prefix = f"layer{stage + 1}.{block}."
                candidates = [f"{prefix}{number}." for number in range(self.candidates)]
                yield stage, block, candidates or [prefix]

    def names(self) -> list[str]:
        """Every name that a backbone of this layout has."""
        names = list(STEM)
        for stage, block, prefixes in self.blocks():
            parts = BLOCK + SHORTCUT if (stage, block) in self.shortcuts else BLOCK
            names += [prefix + part for prefix in prefixes for part in parts]
        return names


def looks_like_supernet(names: Iterable[str]) -> bool | None:
    """Whether a backbone's names are a supernet's or a stand-alone network's; None for neither."""
    names = list(names)
    supernet = sum(SUPERNET_NAME.fullmatch(name) is not None for name in names)
    standalone = sum(STANDALONE_NAME.fullmatch(name) is not None for name in names)
    return supernet > standalone if supernet or standalone else None


def read_layout(names: Iterable[str], supernet: bool) -> Layout:
    """The layout that a backbone's names show, also where some of them are missing.

    A candidate counts once half of its names are there: a stray name is then left over, and does
    not make all its neighbours missing.
    """
    pattern = SUPERNET_NAME if supernet else STANDALONE_NAME
    found: Counter[tuple[int, int, int]] = Counter()
    projected = set()
    for name in names:
        match = pattern.fullmatch(name)
        if match:
            stage, block, candidate = (int(number or 0) for number in match.groups()[:3])
            found[stage - 1, block, candidate] += match[4] in BLOCK
            if match[4] in SHORTCUT:
                projected.add((stage - 1, block))
    places = [place for place, count in found.items() if place[0] >= 0 and 2 * count >= len(BLOCK)]
    stages = range(1 + max((place[0] for place in places), default=-1))
    depths = tuple(
        1 + max((block for stage, block, _ in places if stage == number), default=0)
        for number in stages
    )
    candidates = 1 + max((place[2] for place in places), default=0) if supernet else 0
    blocks = {place[:2] for place in places}
    return Layout(depths, candidates, frozenset(projected & blocks))
