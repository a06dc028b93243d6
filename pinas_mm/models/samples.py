"""Data samples for one of several that take a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.structures import BaseDataElement


def own_samples(batch: Mapping[str, Any]) -> dict[str, Any]:
    """The batch with data samples for one of several that take it: containers are new, however
    deep, tensors and masks are shared.

    Preprocessors and losses put other things into samples, as RTMDet-Ins's loss other masks. A
    sample's own ``new()`` and ``clone()`` leave its instances shared.

    Args:
        batch: of a loader or a data preprocessor; without ``data_samples`` it has none then either.
    """
    return {n: _copied(value) if n == "data_samples" else value for n, value in batch.items()}


def _copied(value: Any) -> Any:
    if isinstance(value, BaseDataElement):
        return value.new(**{name: _copied(inner) for name, inner in value.items()})
    if isinstance(value, Mapping):
        return {name: _copied(inner) for name, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value
