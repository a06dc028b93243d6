"""The weights in a published checkpoint file, however they are wrapped, and their names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from pinas_mm.compat import safe_globals
from pinas_mm.errors import UserError

WRAPPERS = ("state_dict", "model")
NUMBERS = "?bBhHiIlLqQefd"


def unwrap(checkpoint: Any, source: str) -> dict[str, torch.Tensor]:
    """The state dict of a loaded checkpoint.

    It may be bare or under ``state_dict`` or ``model``; the ``module.`` that data-parallel
    training puts before every name goes; numpy arrays of numbers become tensors.

    Args:
        checkpoint: what the file held.
        source: what the messages call it.

    Raises:
        UserError: there is no state dict, or it holds something else than tensors.
    """
    state = checkpoint
    wrapper = _wrapper(state)
    while wrapper:
        state = state[wrapper]
        wrapper = _wrapper(state)
    if not isinstance(state, Mapping) or not state:
        raise UserError(f"{source} holds no weights: it is {_describe(state)}")
    state = {key: _tensor(value) for key, value in state.items()}
    others = [key for key, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise UserError(
            f"{source} is no state dict, bare or under {' or '.join(WRAPPERS)}: "
            f"{listing(others)} {'are' if len(others) > 1 else 'is'} no tensor"
        )
    state = {str(key): value for key, value in state.items()}
    while all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state


def allow_numpy() -> AbstractContextManager[None]:
    """While open, PyTorch's safe reader also builds numpy arrays of numbers, as detectron2 saves.

    Only these types: an array of objects could hold anything. It takes PyTorch 2.6; older ones
    refuse such files.
    """
    reconstruct = np.empty(0).__reduce__()[0]
    modules = "numpy.core.multiarray", "numpy._core.multiarray"  # numpy 1 and 2
    dtypes = {type(np.dtype(code)) for code in NUMBERS}
    return safe_globals(
        [(reconstruct, f"{module}._reconstruct") for module in modules]
        + [np.ndarray, np.dtype, *dtypes]
    )


def check_names(names: Collection[str], wanted: Sequence[str], source: str, kind: str) -> None:
    """Raises :class:`UserError` with the names that are missing or left over."""
    present, known = set(names), set(wanted)
    faults = [
        f"{len(keys)} {'keys' if len(keys) > 1 else 'key'} {what} ({listing(keys)})"
        for what, keys in (
            ("missing", [name for name in wanted if name not in present]),
            ("left over", [name for name in names if name not in known]),
        )
        if keys
    ]
    if faults:
        raise UserError(f"{source} is not a whole {kind}: {', '.join(faults)}")


def check_not_empty(state: Mapping[str, torch.Tensor], source: str) -> None:
    """Raises :class:`UserError` for tensors without values and numbers where tensors belong."""
    bad = [
        f"{name} with shape {list(value.shape)}"
        for name, value in state.items()
        if not value.numel() or (not value.dim() and not name.endswith("num_batches_tracked"))
    ]
    if bad:
        raise UserError(f"{source} has weights without values: {listing(bad)}")


def listing(keys: Sequence[Any], most: int = 5) -> str:
    """The first keys in one line."""
    shown = ", ".join(str(key) for key in keys[:most])
    return f"{shown}, ..." if len(keys) > most else shown


def _wrapper(state: Any) -> str | None:
    if not isinstance(state, Mapping):
        return None
    return next((key for key in WRAPPERS if isinstance(state.get(key), Mapping)), None)


def _tensor(value: Any) -> Any:
    numbers = isinstance(value, np.ndarray) and value.dtype.char in NUMBERS
    return torch.tensor(value) if numbers else value


def _describe(value: Any) -> str:
    return "empty" if isinstance(value, Mapping) else f"a {type(value).__name__}"
