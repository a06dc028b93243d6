"""Whether a deployed network computes what PyTorch does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch

from pinas_mm.data.digits.photos import load_photos
from pinas_mm.errors import UserError, reason
from pinas_mm.export.deployable import Deployable

TOLERANCE = 1e-4

Run = Callable[[torch.Tensor], torch.Tensor | Sequence[torch.Tensor]]


@torch.no_grad()
def largest_difference(deployable: Deployable, run: Run, size: int, name: str) -> float:
    """Compares a deployed network with its original on crops of scikit-learn's photographs.

    Two batch sizes and two image sizes are compared, the second odd and oblong.

    Args:
        deployable: the original.
        run: the deployed one, from images to its outputs in order.
        size: side of the first, square image, in pixels.
        name: what the messages call the deployed one.

    Returns:
        The largest difference between two values, over the largest value of that output where this
        is above 1.

    Raises:
        UserError: it is above 1e-4, outputs differ in number or shape or are not finite, or the
            deployed network fails.
    """
    shapes = ((1, size, size), (3, size * 3 // 8 * 2 + 1, size * 5 // 8 * 2 + 1))
    return max(
        _difference_on(_photographs(deployable, *shape), deployable, run, name) for shape in shapes
    )


def _difference_on(images: torch.Tensor, deployable: Deployable, run: Run, name: str) -> float:
    failed = f"{name} is not written: at {' x '.join(map(str, images.shape))} it"
    wanted = _as_tuple(deployable.module(images))
    if not all(out.isfinite().all() for out in wanted):
        raise UserError(f"{failed} has nothing to compare with, PyTorch's values are not finite")
    try:
        got = _as_tuple(run(images))
    except Exception as error:  # Every runtime has its own.
        raise UserError(
            f"{failed} fails, as where a layer takes sizes for Python's numbers "
            f"({reason(error, last=True)[:200]})"
        ) from error
    if [out.shape for out in wanted] != [out.shape for out in got]:
        raise UserError(f"{failed} has other shapes than PyTorch's")
    difference = max(map(_difference, got, wanted))
    if difference > TOLERANCE:
        exact = _as_tuple(copy.deepcopy(deployable.module).double()(images.double()))
        rounding = max(map(_difference, wanted, exact))
        raise UserError(
            f"{failed} differs from PyTorch by {difference:.1e}, allowed is {TOLERANCE:.0e} "
            f"(PyTorch's own rounding errors there: {rounding:.1e})"
        )
    return difference


def _photographs(deployable: Deployable, batch: int, height: int, width: int) -> torch.Tensor:
    """Crops, normalized as the network expects it as far as that is known."""
    photos, rng = load_photos()["val"], np.random.default_rng(0)
    crops = np.stack([photos.crop(rng, (height, width), 1.0)[0] for _ in range(batch)])
    crops = crops[..., np.arange(deployable.channels) % 3]
    known = deployable.metadata
    mean = np.array(known.get("mean", crops.mean((0, 1, 2))), np.float32)
    std = np.array(known.get("std", crops.std((0, 1, 2))), np.float32)
    return torch.from_numpy((crops - mean) / std).permute(0, 3, 1, 2).contiguous()


def _difference(ours: torch.Tensor, wanted: torch.Tensor) -> float:
    if not ours.isfinite().all():
        return float("inf")
    return (ours - wanted).abs().max().item() / max(1.0, wanted.abs().max().item())


def _as_tuple(outputs: torch.Tensor | Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
