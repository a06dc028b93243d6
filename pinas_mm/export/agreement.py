"""Whether a deployed network computes what PyTorch does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch

from pinas_mm.data.photos import load_photos
from pinas_mm.errors import UserError
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
        UserError: it is above 1e-4, outputs differ in number or shape, or are not finite.
    """
    largest = 0.0
    for batch, height, width in (
        (1, size, size),
        (3, size * 3 // 8 * 2 + 1, size * 5 // 8 * 2 + 1),
    ):
        images = _photographs(deployable, batch, height, width)
        wanted, got = _as_tuple(deployable.module(images)), _as_tuple(run(images))
        place = " x ".join(map(str, images.shape))
        if [out.shape for out in wanted] != [out.shape for out in got]:
            raise UserError(f"{name}: outputs have other shapes than PyTorch's at {place}")
        if not all(out.isfinite().all() for out in wanted):
            raise UserError(f"{name}: the network's outputs are not finite at {place}")
        difference = max(map(_difference, got, wanted))
        if not difference <= TOLERANCE:
            exact = _as_tuple(copy.deepcopy(deployable.module).double()(images.double()))
            rounding = max(map(_difference, wanted, exact))
            raise UserError(
                f"{name} is not written: it differs from PyTorch by {difference:.1e} at {place}, "
                f"allowed is {TOLERANCE:.0e} (PyTorch's own rounding errors there: {rounding:.1e})"
            )
        largest = max(largest, difference)
    return largest


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
    return (ours - wanted).abs().max().item() / max(1.0, wanted.abs().max().item())


def _as_tuple(outputs: torch.Tensor | Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
