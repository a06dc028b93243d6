"""The data preprocessor that makes views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.model import BaseDataPreprocessor

from pinas_mm.data.augment import Augment
from pinas_mm.errors import UserError
from pinas_mm.registry import MODELS
from pinas_mm.run_state import generator, run_state


def crops_of(inputs: Any) -> Sequence[Any]:
    """Collated inputs as one batch for each crop."""
    return inputs if several_crops(inputs) else [inputs]


def several_crops(inputs: Any) -> bool:
    """Whether collated inputs are a sequence of batches, one for each crop, and not one batch."""
    # A crop is a list of images from pseudo_collate, a stacked tensor from default_collate.
    return isinstance(inputs, (list, tuple)) and (
        isinstance(inputs[0], (list, tuple)) or inputs[0].ndim == 4
    )


@MODELS.register_module()
class ViewsPreprocessor(BaseDataPreprocessor):
    """Augments whole batches into the views of a self-supervised step and normalizes them.

    The random numbers depend on the run's seed, the iteration and the rank only, so a resumed
    run sees the views that the unbroken one would have seen.

    Args:
        num_views: views of each image, where the pipeline gives one image; where it gives a list
            of crops (mmpretrain's MultiView), each becomes one view.
        augment: arguments of :class:`~pinas_mm.data.augment.Augment`.
        mean, std: of the channels, 0 to 255, RGB of images that have three; one number is for any
            number of channels.
        to_rgb: whether the pipeline's images of three channels are BGR, as OpenMMLab's loaders
            give them. The order of another number of channels stays, as mmpretrain's does.
        non_blocking: whether copies to the device overlap with computing.

    Raises:
        UserError: ``mean`` and ``std`` differ in length, or a deviation is not above 0.
    """

    def __init__(
        self,
        num_views: int = 4,
        augment: dict[str, Any] | None = None,
        mean: Sequence[float] | float = (123.675, 116.28, 103.53),
        std: Sequence[float] | float = (58.395, 57.12, 57.375),
        to_rgb: bool = True,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        self.num_views, self.to_rgb = num_views, to_rgb
        self.augment = Augment(**(augment or {}))
        means, stds = (torch.tensor(v, dtype=torch.float32).flatten() for v in (mean, std))
        if len(means) != len(stds) or not (stds > 0).all():
            raise UserError(
                f"data_preprocessor has mean {means.tolist()} and std {stds.tolist()}: give as "
                "many numbers of each as images have channels, or one, and std above 0"
            )
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", means.view(-1, 1, 1) / 255, False)
        self.register_buffer("std", stds.view(-1, 1, 1) / 255, False)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Views of a batch.

        Args:
            data: ``inputs`` as collated by pseudo_collate or default_collate: N images
                (channels, H, W), or a list of V times N crops; uint8.
            training: False gives the normalized images themselves, one "view", unaugmented.

        Returns:
            ``inputs``: list of tensors (N, channels, H, W), one a view; ``data_samples`` stay.
        """
        if training:
            return self.training_batch(data, *run_state())
        with self._exact():
            views = [self.normalize(crop) for crop in self.batches(data)]
        return dict(inputs=views, data_samples=data.get("data_samples"))

    def training_batch(self, data: dict[str, Any], seed: int, iteration: int) -> dict[str, Any]:
        """What a training step of a run's seed gets in an iteration, on this rank."""
        with self._exact():
            views = self.make_views(self.batches(data), seed, iteration)
        return dict(inputs=views, data_samples=data.get("data_samples"))

    def batches(self, data: dict[str, Any]) -> list[torch.Tensor]:
        """Collated images as batches (N, channels, H, W), RGB, 0 to 1, one for each crop."""
        return [self._batch(crop) for crop in crops_of(data["inputs"])]

    def crop(self, data: dict[str, Any], view: int) -> torch.Tensor:
        """The batch that a view is made of: the view's own crop, where there are several."""
        crops = crops_of(data["inputs"])
        return self._batch(crops[view if len(crops) > 1 else 0])

    def make_views(
        self, crops: Sequence[torch.Tensor], seed: int, iteration: int, number: int | None = None
    ) -> list[torch.Tensor]:
        """Augmented, normalized views of batches (N, channels, H, W), 0 to 1.

        Args:
            crops: one batch for all views, or one a view; of more the first ones are taken.
            seed: of the run.
            iteration: of the training, or any number.
            number: of views; None is ``num_views``, which the crops must then be, or one.
        """
        if number is None and len(crops) not in (1, self.num_views):
            raise UserError(
                f"the pipeline gives {len(crops)} crops of each image, num_views is "
                f"{self.num_views}: make them equal, or give one crop"
            )
        number = self.num_views if number is None else number
        crops = list(crops) * number if len(crops) == 1 else crops[:number]
        random = generator(seed, iteration, get_rank())
        everything = self.normalize(self.augment(torch.cat(list(crops)), random))
        return list(everything.chunk(number))

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """Values from 0 to 1, shape (N, channels, H, W), less the mean, over the deviation."""
        return (images - self.mean) / self.std

    def _exact(self) -> torch.autocast:
        """Whatever the step's precision, colors and coordinates need more than half of one."""
        return torch.autocast(self.mean.device.type, enabled=False)

    def _batch(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        sizes = {tuple(image.shape) for image in images}
        if len(sizes) > 1:
            raise UserError(
                f"images of a batch differ in shape ({sorted(sizes)[:3]} ...): resize or crop them "
                "to one size in the data pipeline"
            )
        batch = images if isinstance(images, torch.Tensor) else torch.stack(list(images))
        # All images at once: one by one a copy to a GPU costs more than its bytes.
        if self._non_blocking and self.mean.is_cuda and not batch.is_cuda:
            batch = batch.pin_memory()
        batch = batch.to(self.mean.device, non_blocking=bool(self._non_blocking))
        channels = batch.shape[1]
        if len(self.mean) not in (1, channels):
            raise UserError(
                f"images have {channels} channels, mean and std are of {len(self.mean)}: set "
                f"model.data_preprocessor.mean and std to {channels} numbers each and "
                f"model.backbone.in_channels={channels}, or load others by color_type of the "
                "pipeline's pinas_mm.LoadImage"
            )
        if self.to_rgb and channels == 3:
            batch = batch.flip(1)
        # Not in place: a batch of floats is the caller's own, and may be given again.
        return batch.float() / 255


@MODELS.register_module()
class LabelledViewsPreprocessor(ViewsPreprocessor):
    """One augmented view of each image with its label, for classifiers of mmpretrain.

    In place of random transforms in the data pipeline, which run image by image; a
    :class:`~pinas_mm.data.cache.CachedDataset` then decodes each image once.

    Args:
        augment, mean, std, to_rgb, non_blocking: as for :class:`ViewsPreprocessor`.
        batch_augments: mmpretrain's classifiers hand their ``train_cfg`` on by this name.

    Raises:
        UserError: there are ``batch_augments``, which mix labels.
    """

    def __init__(self, batch_augments: dict[str, Any] | None = None, **options: Any) -> None:
        if batch_augments:
            raise UserError(
                f"LabelledViewsPreprocessor has batch_augments {batch_augments}: they mix labels, "
                "which it leaves as they are; take mmpretrain's ClsDataPreprocessor for them"
            )
        super().__init__(num_views=1, **options)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """``inputs`` of shape (N, channels, H, W) and ``data_samples``."""
        made = super().forward(data, training)
        return made if training else self._single(made)

    def training_batch(self, data: dict[str, Any], seed: int, iteration: int) -> dict[str, Any]:
        """The same, of a training step."""
        return self._single(super().training_batch(data, seed, iteration))

    def _single(self, made: dict[str, Any]) -> dict[str, Any]:
        samples = self.cast_data(made["data_samples"])
        return dict(inputs=made["inputs"][0], data_samples=samples)
