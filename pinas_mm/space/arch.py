"""An architecture: its form, the published ones' names, and how one is read. No torch here."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pinas_mm.errors import UserError
from pinas_mm.whole_numbers import is_whole

if TYPE_CHECKING:
    from pinas_mm.space.space import SearchSpace

# The winners that the paper's authors published, of its space. Wherever an architecture is read,
# the name will do.
PUBLISHED = {
    "pinas_cls": "301-3231-203213-032",
    "pinas_trans": "333-3113-330011-021",
}

# One character names a candidate in an architecture's text form.
SYMBOLS = string.digits + string.ascii_lowercase
SEPARATORS = "-, "


class Arch(tuple[int, ...]):
    """One architecture: an immutable tuple of candidate indices, one a choice block.

    Made by :meth:`SearchSpace.arch`, which checks it. ``str(arch)`` is the text form, one
    character a block, stages joined by ``-``: ``301-3231-203213-032``.

    Args:
        choices: candidate index of each choice block, first block first.
        depths: number of choice blocks of each stage; they sum to ``len(choices)``.
    """

    depths: tuple[int, ...]

    def __new__(cls, choices: Iterable[int], depths: Sequence[int]) -> Arch:
        """Makes the tuple; nothing is checked."""
        arch = super().__new__(cls, (int(choice) for choice in choices))
        arch.depths = tuple(depths)
        return arch

    def __getnewargs__(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return tuple(self), self.depths

    def __str__(self) -> str:
        symbols = iter(SYMBOLS[choice] for choice in self)
        return "-".join("".join(next(symbols) for _ in range(depth)) for depth in self.depths)

    def __repr__(self) -> str:
        return f"Arch({self})"


def read_arch(value: Any, space: SearchSpace) -> Arch:
    """What :meth:`SearchSpace.arch` does."""
    if isinstance(value, str) and _is_name(value, space):
        value = _published(value, space)
    if isinstance(getattr(value, "arch", None), Arch):  # As of a search's findings and a network.
        value = value.arch
    if isinstance(value, Arch) and value.depths == space.depths:
        choices: Sequence[Any] = value
    elif isinstance(value, str):
        choices = [
            SYMBOLS.index(char) if char in SYMBOLS else char
            for char in value
            if char not in SEPARATORS
        ]
    elif is_whole(value):
        # `--cfg-options arch=0123` reaches us as the number 123: guessing zeros back would
        # turn a text that is too short into another architecture.
        choices = [int(char) if char.isdigit() else char for char in str(value)]
        if len(choices) != space.num_blocks:
            raise UserError(
                f"architecture {value} was read as a number of {len(choices)} digits, this "
                f"space has {space.num_blocks} blocks: write '-' between the stages, as in "
                f"{_example(space)}"
            )
    elif isinstance(value, Iterable) and getattr(value, "ndim", 1) != 0:
        # Numbers of tensors and of NumPy as Python's, which a message has in one line.
        value = value.tolist() if hasattr(value, "tolist") else value
        choices = [one.tolist() if hasattr(one, "tolist") else one for one in value]
    else:
        raise UserError(f"architecture {value!r} is neither text nor a list of indices")
    return _checked(value, choices, space)


def read_archs(values: Any, space: SearchSpace) -> list[Arch]:
    """Architectures, each in any form that :func:`read_arch` takes; one alone is a list of one."""
    alone = isinstance(values, (str, Arch)) or not isinstance(values, Iterable)
    return [read_arch(value, space) for value in ([values] if alone else values)]


def _is_name(value: str, space: SearchSpace) -> bool:
    """Whether a text is no row of candidates: with a letter in front that names none."""
    return value[:1].isalpha() and value[0] not in SYMBOLS[: space.num_candidates]


def _published(name: str, space: SearchSpace) -> str:
    if name not in PUBLISHED:
        raise UserError(
            f"architecture {name!r} is no known name ({', '.join(PUBLISHED)}): give one, or "
            f"the candidate of every block, as in {_example(space)}"
        )
    paper = type(space)()
    if type(space.skeleton) is not type(paper.skeleton):
        raise UserError(
            f"architecture {name} is of the paper's search space, this one has a "
            f"{type(space.skeleton).__name__}: give the candidate of every block, as in "
            f"{_example(space)}"
        )
    for part in ("candidates", "depths", "widths", "allowed"):
        if getattr(space, part) != getattr(paper, part):
            raise UserError(
                f"architecture {name} is of the paper's search space, this one has other "
                f"{part}: give the candidate of every block, as in {_example(space)}"
            )
    return PUBLISHED[name]


def _example(space: SearchSpace) -> str:
    return str(Arch(space.mask.argmax(axis=1), space.depths))


def _checked(value: Any, choices: Sequence[Any], space: SearchSpace) -> Arch:
    if len(choices) != space.num_blocks:
        fault = "short" if len(choices) < space.num_blocks else "long"
        raise UserError(
            f"architecture {value!s} is too {fault}: {len(choices)} blocks, this space has "
            f"{space.num_blocks}, as in {_example(space)}"
        )
    for position, choice in enumerate(choices):
        if not is_whole(choice, 0, space.num_candidates - 1):
            raise UserError(
                f"architecture {value!s} has {choice!r} at block {position}: allowed are "
                f"candidates 0 to {SYMBOLS[space.num_candidates - 1]}"
            )
        if not space.mask[position, choice]:
            allowed = (SYMBOLS[index] for index in space.mask[position].nonzero()[0])
            raise UserError(
                f"architecture {value!s} has {SYMBOLS[choice]} at block {position}, where it "
                f"cannot stand: allowed there are {', '.join(allowed)}"
            )
    return Arch(choices, space.depths)
