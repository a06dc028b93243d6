"""Whether what stands behind a supernet takes the feature maps that it returns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.models.supernet import PiNASSupernet


def check_feature_maps(model: nn.Module, supernet: PiNASSupernet) -> None:
    """Checks that a model's neck, or without one its heads, take the supernet's channels.

    Only those that declare ``in_channels`` are looked at, with ``in_index`` for mmseg's heads; for
    the others the first step or the count of the costs shows what they do not take.

    Raises:
        UserError: they are made for others; names them, and what the supernet can return.
    """
    space = supernet.space
    given = [space.out_channels[stage] for stage in supernet.out_indices]
    for name, wanted, taken in _wishes(model, len(given)):
        found = [given[index] if index < len(given) else None for index in taken]
        # mmdet's YOLOV3Neck lists them from the last.
        if found not in ([wanted, wanted[::-1]] if name == "neck" else [wanted]):
            raise UserError(
                f"{name} takes feature maps {taken} of {wanted} channels, and the supernet returns "
                f"{given}, of its out_indices {tuple(supernet.out_indices)}: its stages 0 to "
                f"{supernet.num_stages - 1} have {list(space.out_channels)}; set out_indices, or "
                f"{name}.in_channels"
            )


def _wishes(model: nn.Module, number: int) -> Iterator[tuple[str, list[int], list[int]]]:
    """What takes feature maps, how many channels these have, and which maps they are."""
    neck, last = getattr(model, "neck", None), [number - 1]
    if isinstance(neck, nn.Sequential):
        neck = neck[0]
    wanted = getattr(neck, "in_channels", None)
    if isinstance(wanted, (list, tuple)):
        yield "neck", list(wanted), list(range(max(number, len(wanted))))
    elif isinstance(wanted, int):
        yield "neck", [wanted], last
    if neck is not None and not _keeps_channels(neck):
        return
    wanted = getattr(getattr(model, "head", None), "in_channels", None)
    if isinstance(wanted, int):
        yield "head", [wanted], last
    for name in ("rpn_head", "bbox_head"):
        wanted = getattr(getattr(model, name, None), "in_channels", None)
        if isinstance(wanted, int):
            yield name, [wanted] * number, list(range(number))
    for name in ("decode_head", "auxiliary_head"):
        heads: Any = getattr(model, name, None)
        several = isinstance(heads, nn.ModuleList)
        for place, head in enumerate(heads if several else [heads]):
            key = f"{name}[{place}]" if several else name
            yield from _of_segmentation_head(key, head, number)


def _keeps_channels(neck: nn.Module) -> bool:
    """Whether it is known to return what it gets, pooled; one without weights may join maps."""
    if any(True for _ in neck.parameters()):
        return False
    from mmpretrain.models.necks import GlobalAveragePooling

    return isinstance(neck, GlobalAveragePooling)


def _of_segmentation_head(
    name: str, head: Any, number: int
) -> Iterator[tuple[str, list[int], list[int]]]:
    wanted, taken = getattr(head, "in_channels", None), getattr(head, "in_index", None)
    # Of concatenated maps it keeps the sum.
    if wanted is None or taken is None or getattr(head, "input_transform", None) == "resize_concat":
        return
    taken = [taken] if isinstance(taken, int) else list(taken)
    wanted = [wanted] if isinstance(wanted, int) else list(wanted)
    yield name, wanted, [index % number if index < 0 else index for index in taken]
