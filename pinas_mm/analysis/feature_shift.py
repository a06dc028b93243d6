"""How far a choice block's input features move when the path before it changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from pinas_mm.errors import UserError
from pinas_mm.long_work import LongWork
from pinas_mm.models.batch_norm import Statistics
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.space import Arch, SearchSpace
from pinas_mm.space.paths import CrossPaths

FEATURE = ("feature/cosine", "feature/l2", "feature/cka")
# Of fewer images the unbiased inner products of kernels are always zero.
FEWEST_IMAGES = 4


@torch.no_grad()
def feature_shift(
    backbone: PiNASSupernet, images: Sequence[torch.Tensor], pairs: int, seed: int
) -> dict[str, list[list[float]]]:
    """The measures of :data:`FEATURE`, by place, for each pair of paths.

    Args:
        backbone: is left in evaluation mode.
        images: batches (N, C, H, W), normalized, of equal N.
        pairs: pairs of paths.
        seed: of the paths.

    Raises:
        UserError: fewer than 4 images in a batch, or nothing to choose.
    """
    check_space(backbone.space)
    fewest = min((len(batch) for batch in images), default=0)
    if fewest < FEWEST_IMAGES:
        raise UserError(
            f"a batch has {fewest} images: feature shift compares at least {FEWEST_IMAGES}; raise "
            "the loader's batch_size, or take more images"
        )
    number = backbone.num_running + 1
    first = next(block for block, count in enumerate(backbone.space.counts) if count > 1)
    found: dict[str, list[list[float]]] = {name: [[] for _ in range(number)] for name in FEATURE}
    progress = LongWork("feature shift, pairs of paths", pairs)
    for pair in range(pairs):
        paths = CrossPaths()(backbone.space, seed, pair)
        statistics = [Statistics(backbone, partial(backbone, arch=path), images) for path in paths]
        backbone.eval()
        sums = torch.zeros(number, 5, dtype=torch.float64)
        for batch in images:
            with statistics[0].applied():
                along = list(_block_inputs(backbone, batch, paths[0]))
            with statistics[1].applied():
                both = zip(along, _block_inputs(backbone, batch, paths[1]), strict=True)
                sums += torch.stack([compare_features(a.flatten(1), b.flatten(1)) for a, b in both])
        for place in range(first + 1, number):
            cosine, l2, *kernels = sums[place] / len(images)
            cka = one_minus_cosine(*kernels)
            for name, value in zip(FEATURE, (cosine, l2, cka), strict=True):
                found[name][place].append(float(value))
        progress.step()
    return found


def check_space(space: SearchSpace) -> None:
    """Raises :class:`UserError` where nothing can shift."""
    if space.size < 2:
        raise UserError(f"the space has one architecture, nothing can shift: {space}")


def compare_features(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Cosine and relative L2 shift between features (N, D) along two paths, and the inner products
    of their centred kernels; on the CPU.
    """
    a, b = a.float(), b.float()
    dot, one, other = (a * b).sum(1), a.square().sum(1), b.square().sum(1)
    middle = ((one.double() + other.double()) / 2).clamp_min(torch.finfo(torch.float64).tiny)
    l2 = ((a - b).square().sum(1).double() / middle).sqrt()
    k, m = _centred_kernel(a), _centred_kernel(b)
    kernels = [(k * m).sum(), (k * k).sum(), (m * m).sum()]
    return torch.stack([one_minus_cosine(dot, one, other).mean(), l2.mean(), *kernels]).cpu()


def one_minus_cosine(dot: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """From the inner products of two vectors with each other and with themselves; 0 to 2."""
    lengths = (one.double() * other.double()).sqrt()
    cosine = dot.double() / lengths.clamp_min(torch.finfo(torch.float64).tiny)
    return torch.where((one == 0) & (other == 0), 0.0, 1 - cosine.clamp(-1, 1))


def _block_inputs(
    backbone: PiNASSupernet, images: torch.Tensor, arch: Arch
) -> Iterator[torch.Tensor]:
    """What each block gets along a path, and what the backbone returns last."""
    x = backbone.forward_stem(images)
    for number in range(backbone.num_running):
        yield x
        x = backbone.forward_cell(x, number, arch[number])
    yield backbone.forward_output(x, backbone.out_indices[-1])


def _centred_kernel(features: torch.Tensor) -> torch.Tensor:
    """Linear kernel (N, N) of features (N, D), centred so that inner products are unbiased
    (U-centring; Székely and Rizzo, Annals of Statistics 2014).
    """
    features = features - features.mean(0)
    number = len(features)
    kernel = (features @ features.T).double().fill_diagonal_(0)
    rows = kernel.sum(1)
    kernel = kernel - (rows[:, None] + rows) / (number - 2)
    kernel += rows.sum() / ((number - 1) * (number - 2))
    return kernel.fill_diagonal_(0)
