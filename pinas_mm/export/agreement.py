"""Whether a deployed network computes what PyTorch does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from pinas_mm.errors import UserError, reason
from pinas_mm.export.deployable import Deployable

TOLERANCE = 1e-4

Run = Callable[[torch.Tensor], torch.Tensor | Sequence[torch.Tensor]]


@torch.no_grad()
def largest_difference(deployable: Deployable, run: Run, size: int, name: str) -> float:
    """Compares a deployed network with its original on smooth images, drawn with a fixed seed.

    Two batch sizes and two image sizes are compared, the second odd and oblong.

    Args:
        deployable: the original.
        run: the deployed one, from images to its outputs in order.
        size: side of the first, square image, in pixels. Of less than 32 a network that halves
            its images five times leaves one pixel, or none.
        name: what the messages call the deployed one.

    Returns:
        The largest difference between two values, over the largest value of that output where this
        is above 1.

    Raises:
        UserError: it is above 1e-4, outputs differ in number or shape or are not finite, or the
            deployed network fails.
    """
    return max(
        _difference_on(_images(deployable, *shape), deployable, run, name)
        for shape in _shapes(size)
    )


@torch.no_grad()
def check_size(deployable: Deployable, size: int, name: str) -> None:
    """Checks that the network takes the images that :func:`largest_difference` compares on.

    Raises:
        UserError: it does not, as where less than a pixel is left of them.
    """
    for batch, height, width in _shapes(size):
        shape = (batch, deployable.channels, height, width)
        try:
            deployable.module(torch.zeros(shape))
        except Exception as error:
            raise UserError(
                f"{name} is not written: PyTorch itself fails at {' x '.join(map(str, shape))} "
                f"({reason(error)[:200]}): is --size {size} too small for the network? Give that "
                "of its images"
            ) from error


def _shapes(size: int) -> tuple[tuple[int, int, int], ...]:
    """Batch, height and width of the images to compare on."""
    return (1, size, size), (3, size * 3 // 8 * 2 + 1, size * 5 // 8 * 2 + 1)


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


def _images(deployable: Deployable, batch: int, height: int, width: int) -> torch.Tensor:
    """Images of 0 to 255, normalized as the network expects it as far as that is known.

    Each is coarse noise made large, over finer, so that it has areas and edges as photographs have.
    """
    shape, rng = (batch, deployable.channels), np.random.default_rng(0)
    layers = []
    for cells, weight in ((4, 0.6), (16, 0.3), (64, 0.1)):
        noise = torch.from_numpy(rng.random((*shape, cells, cells), np.float32))
        large = F.interpolate(noise, (height, width), mode="bilinear", align_corners=False)
        layers.append(weight * large)
    images = 255 * torch.stack(layers).sum(0)
    known = deployable.metadata
    # Of one pixel there is no deviation.
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3), correction=0).clamp(min=1)
    mean, std = (
        torch.tensor(known[name], dtype=torch.float32) if name in known else own
        for name, own in (("mean", mean), ("std", std))
    )
    return (images - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)


def _difference(ours: torch.Tensor, wanted: torch.Tensor) -> float:
    if not ours.isfinite().all():
        return float("inf")
    return (ours - wanted).abs().max().item() / max(1.0, wanted.abs().max().item())


def _as_tuple(outputs: torch.Tensor | Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
