"""Whether a deployed network computes what PyTorch does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from pinas_mm.errors import UserError
from pinas_mm.export.deployable import Deployable

TOLERANCE = 1e-4


def check_shapes(channels: int, size: int) -> list[tuple[int, int, int, int]]:
    """The inputs to compare on: two batch sizes and two image sizes, the second odd and oblong."""
    return [(1, channels, size, size), (3, channels, size * 3 // 8 * 2 + 1, size * 5 // 8 * 2 + 1)]


@torch.no_grad()
def largest_difference(
    deployable: Deployable,
    run: Callable[[torch.Tensor], Sequence[torch.Tensor]],
    size: int,
    name: str,
) -> float:
    """Compares a deployed network with its original on random images.

    Args:
        deployable: the original.
        run: the deployed one, from images to its outputs in order.
        size: side of the smaller of the images, in pixels; see :func:`check_shapes`.
        name: what the messages call it.

    Returns:
        The largest difference between two values, over the largest value of that output where this
        is above 1.

    Raises:
        UserError: it is above 1e-4, outputs differ in number or shape, or are not finite.
    """
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for shape in check_shapes(deployable.channels, size):
        images = torch.randn(shape, generator=generator)
        wanted, got = as_tuple(deployable.module(images)), run(images)
        text = " x ".join(map(str, shape))
        if [w.shape for w in wanted] != [g.shape for g in got]:
            raise UserError(
                f"{name}: outputs have other shapes than PyTorch's at {text}; nothing was written"
            )
        for output, ours, theirs in zip(deployable.outputs, wanted, got, strict=True):
            if not ours.isfinite().all():
                raise UserError(
                    f"{output} of the network is not finite at {text}: its weights are broken or "
                    "not trained"
                )
            scale = max(1.0, ours.abs().max().item())
            difference = (ours - theirs).abs().max().item() / scale
            if not difference <= TOLERANCE:
                raise UserError(
                    f"{name}: {output} differs from PyTorch's by {difference:.1e} at {text}, "
                    f"allowed is {TOLERANCE:.0e}; nothing was written"
                )
            largest = max(largest, difference)
    return largest


def as_tuple(outputs: torch.Tensor | Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """A network's outputs, be they one tensor or several."""
    return (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
