"""Sets too small for their batches: no step at all, or batches of one image under batch norm."""

from __future__ import annotations

from typing import Any

from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import get_world_size
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from pinas_mm.data.fixed_sampler import FixedSampler
from pinas_mm.errors import UserError

# Samplers whose length is the number of images that they give; of others we do not know it.
FINITE = (DefaultSampler, SequentialSampler, RandomSampler, FixedSampler)


def check_batches(loader: DataLoader[Any], key: str) -> None:
    """Checks that a loader gives batches.

    Args:
        loader: the loader; one of an unknown sampler passes.
        key: where it stands in the config.

    Raises:
        UserError: it does not; says what to set.
    """
    batches = _batches(loader)
    sampler = getattr(batches, "sampler", None)
    if isinstance(sampler, (*FINITE, InfiniteSampler)) and not len(sampler):
        raise UserError(f"{key}: the data set has no image left: see its dataset and filter_cfg")
    if not isinstance(sampler, FINITE) or not isinstance(batches, BatchSampler):
        return
    images, size = len(sampler), batches.batch_size
    each = " for each process" if get_world_size() > 1 else ""
    if batches.drop_last and images < size:
        raise UserError(
            f"{key}: {images} images{each} do not fill one batch of batch_size={size}, and "
            f"drop_last=True drops what is not full: set {key}.batch_size to at most {images}, or "
            f"{key}.drop_last=False"
        )


def check_calibration(loader: DataLoader[Any], key: str) -> None:
    """Checks that there are batches to compute batch norms' statistics on: of two images or more.

    Single images, as the last batch may be one, have no variance after pooling to a point, and are
    left out.

    Args:
        loader: the loader; one of an unknown sampler passes.
        key: where it stands in the config.

    Raises:
        UserError: all its batches are of one image, or it has none.
    """
    check_batches(loader, key)
    batches = loader.batch_sampler
    sampler = getattr(batches, "sampler", None)
    single = isinstance(batches, BatchSampler) and batches.batch_size == 1
    if single or (isinstance(sampler, FINITE) and len(sampler) == 1):
        raise UserError(
            f"{key}: there is no batch of at least 2 images to recompute statistics on: raise the "
            "calibration loader's batch_size, or take more images"
        )


def normalizing(model: nn.Module) -> list[tuple[str, _BatchNorm]]:
    """The batch norms, with names, that normalize by a process's own batch in training.

    Args:
        model: is left in training mode; frozen norms stay in evaluation mode by themselves.
    """
    model.train()
    alone = get_world_size() == 1
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm)
        and module.training
        and (alone or not isinstance(module, nn.SyncBatchNorm))
    ]


def refuse_single_values(model: nn.Module, loader: DataLoader[Any], key: str) -> None:
    """Has the first training step say it where a batch norm gets one value for each channel of a
    batch of one image: of any, or of the last one.

    That is what an image is after pooling to a point; whether there is such a place only the
    network's forward pass shows.

    Args:
        model: that is trained.
        loader: on its batches.
        key: where the loader stands in the config.
    """
    batches = _batches(loader)
    sampler, size = (getattr(batches, name, None) for name in ("sampler", "batch_size"))
    if size == 1:
        where, first = f"{key}.batch_size=1", 1
        advice = (
            "set batch_size to at least 2 images a process, use SyncBN on several GPUs, or a "
            "norm_cfg of type GN there"
        )
    elif isinstance(sampler, FINITE) and isinstance(batches, BatchSampler):
        images, size = len(sampler), batches.batch_size
        if batches.drop_last or images % size != 1:
            return
        each = " for each process" if get_world_size() > 1 else ""
        where = f"{key}: {images} images{each} in batches of {size} leave a last batch of one image"
        other = next((b for b in range(size - 1, 1, -1) if images % b != 1), None)
        found = [f"{key}.batch_size={other}"] if other else []
        found += [f"{key}.drop_last=True"] if images > size else []
        advice = " or ".join(found) or "take more images"
        # A resumed run may begin with it.
        skipped = getattr(loader.batch_sampler, "skipped", 0)
        first = size if (skipped + 1) % len(batches) else 1
    else:
        return
    for name, norm in normalizing(model):
        _watch(name, norm, first, where, advice)


def _batches(loader: DataLoader[Any]) -> Any:
    """What makes a loader's batches; a resumed run's are a part of them."""
    return getattr(loader.batch_sampler, "batches", loader.batch_sampler)


def _watch(name: str, norm: _BatchNorm, images: int, where: str, advice: str) -> None:
    def look(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        handle.remove()
        # One for each image of the first batch is one for a single image.
        if module.training and inputs[0].numel() // inputs[0].shape[1] in (1, images):
            raise UserError(
                f"{where}: {name} gets one value for each channel, by which batch norm cannot "
                f"normalize: {advice}"
            )

    handle = norm.register_forward_pre_hook(look)
