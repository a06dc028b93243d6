"""Feature shift and parameter shift: how far the paths of a supernet disagree, block by block.

Pi-NAS (Peng et al., ICCV 2021) names the two shifts and gives no measure of them. Here they are:

**Feature shift** of a choice block: how far its input features move, for the same images, when the
path before it changes. Means over pairs of random paths that differ in every choice block, so that
it does not depend on how many candidates a space has. With a and b, an image's features along the
two paths as one vector:

- ``feature/cosine``: ``1 - a.b / (|a| |b|)``, mean over images. 0 the same direction, 1 orthogonal,
  2 opposed; features that are never negative, as behind a ReLU, reach 1 at most.
- ``feature/l2``: ``|a - b| / sqrt((|a|^2 + |b|^2) / 2)``, mean over images. 0 equal, 2 opposed;
  sees a change of length, which the cosine does not.
- ``feature/cka``: one minus linear centred kernel alignment (Kornblith et al., ICML 2019) of all
  images' features. Blind to rotation and scale: whether the images lie alike among each other.
  Its inner products are the unbiased ones (Song et al., JMLR 2012), averaged over the batches
  (Nguyen et al., ICLR 2021, eq. 3): the plain ones let unrelated features look alike where there
  are more features than images. 0 alike, 1 unrelated on average, 2 at most.

**Parameter shift** of a choice block: how far the gradients of a candidate's parameters disagree,
for the same images, between two random paths through that candidate. With g and h, the gradients
of all its parameters as one vector:

- ``parameter/cosine``: ``1 - g.h / (|g| |h|)``. 0 the same direction, 1 unrelated, 2 opposed.
- ``parameter/conflict``: share of the parameters whose two gradients have opposite signs, of those
  where neither is zero. 0 to 1; 0.5 unrelated.

How fast parameters move, whatever the paths:

- ``parameter/motion`` (:class:`~pinas_mm.analysis.parameter_shift.Snapshot`): how far the
  parameters of a block's candidates and shortcut have moved, relative to their length, per training
  step.

None depends on the scale of features, gradients or losses, so that different supernets compare,
on the same images: gradients and batch-norm statistics are those of all images together.
Zero vectors count as alike each other and as unrelated to any other.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pinas_mm.algorithms.base import SupernetAlgorithm
from pinas_mm.analysis.feature_shift import FEWEST_IMAGES, feature_shift
from pinas_mm.analysis.parameter_shift import parameter_shift
from pinas_mm.analysis.unchanged import seed_all, unchanged
from pinas_mm.errors import UserError
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.whole_numbers import check_seed


@dataclasses.dataclass(frozen=True)
class Shifts:
    """What was measured, by place.

    Attributes:
        places: choice blocks in the order they run, as ``layer2.1``, and ``output``, which is what
            the backbone gives to the rest of the model.
        values: by measure, for each place one value for each comparison; none where there is
            nothing to compare: features before the first choice, blocks without trained parameters.
    """

    places: tuple[str, ...]
    values: Mapping[str, Sequence[Sequence[float]]]

    def means(self, name: str) -> list[float | None]:
        """A measure's mean over the comparisons, for each place; None where there are none."""
        return [float(np.mean(found)) if len(found) else None for found in self.values[name]]

    def overall(self) -> dict[str, float | None]:
        """Each measure's mean over the places."""
        whole = {name: [m for m in self.means(name) if m is not None] for name in self.values}
        return {name: float(np.mean(found)) if found else None for name, found in whole.items()}

    def to_dict(self) -> dict[str, Any]:
        """For JSON: mean, standard deviation and number of comparisons of each measure."""
        return dict(
            overall=self.overall(),
            places={
                place: {
                    name: dict(
                        mean=float(np.mean(found[index])),
                        std=float(np.std(found[index])),
                        comparisons=len(found[index]),
                    )
                    for name, found in self.values.items()
                    if len(found[index])
                }
                for index, place in enumerate(self.places)
            },
        )


def measure_shifts(
    model: SupernetAlgorithm, data: Sequence[dict[str, Any]], pairs: int = 8, seed: int = 0
) -> Shifts:
    """Measures both shifts; nothing of the model, and no random number of the process, changes.

    Features are those of evaluation, with batch-norm statistics of each path's own, computed on the
    same images. Gradients are those of training steps along single paths; where an algorithm
    couples paths, with partner paths that differ from it in every block. The shortcut that a
    block's candidates share is not a candidate's, and not counted.

    It costs four forward passes of the backbone a pair, and ``pairs`` plus the number of candidates
    training steps, over all images; memory for a second copy of the model, one gradient of all
    candidates, and one batch's features before all blocks. All processes of a distributed run must
    call it, with the same images.

    Args:
        model: on its device, without a distributed wrapper.
        data: batches as its data loader collates them, for the data preprocessor in training mode;
            those smaller than the largest are left out.
        pairs: pairs of paths that are compared at each place; candidates that few share are
            compared more often.
        seed: of paths and views, and of what is random in a step, as dropout.

    Raises:
        UserError: no pair, a negative seed, fewer than 4 images in a batch, or a space in which
            there is nothing to choose.
    """
    check_amounts(pairs=pairs, seed=seed)
    with unchanged(model) as restore:
        seed_all(seed)
        batches = [prepared(model, batch, seed, number) for number, batch in enumerate(data)]
        # A smaller last batch would weigh as much as a whole one.
        largest = max((len(images_of(batch)) for batch in batches), default=0)
        batches = [batch for batch in batches if len(images_of(batch)) == largest]
        features = feature_shift(model.backbone, [images_of(b) for b in batches], pairs, seed)
        restore()
        parameters = parameter_shift(model, batches, pairs, seed, restore)
    return Shifts(places(model.backbone), features | parameters)


def check_amounts(pairs: int, seed: int, images: int = FEWEST_IMAGES) -> None:
    """Raises :class:`UserError` where shifts cannot be measured with these numbers."""
    check_seed(seed)
    if images < FEWEST_IMAGES or pairs < 1:
        raise UserError(
            f"images {images}, pairs {pairs}: shifts need at least {FEWEST_IMAGES} images and 1 "
            "pair of paths"
        )


def places(backbone: PiNASSupernet) -> tuple[str, ...]:
    """Names of what is measured: the blocks that run, and the output."""
    specs = backbone.specs[: backbone.num_running]
    return (*(spec.name for spec in specs), "output")


def prepared(
    model: SupernetAlgorithm, batch: dict[str, Any], seed: int, number: int
) -> dict[str, Any]:
    """A loaded batch as a training step gets it; its views are those of a seed and a number.

    Args:
        model: the algorithm.
        batch: as collated; it is not changed.
        seed: of the views.
        number: of the batch.
    """
    preprocessor, batch = model.data_preprocessor, copy.deepcopy(batch)
    if not hasattr(preprocessor, "training_batch"):
        return preprocessor(batch, True)
    # Called, it would make the views of the training's iteration.
    return preprocessor.training_batch(batch, seed, number)


def images_of(batch: Mapping[str, Any]) -> torch.Tensor:
    """The images (N, C, H, W) of a prepared batch; if it has several views, the first."""
    inputs = batch["inputs"]
    return inputs[0] if isinstance(inputs, (list, tuple)) else inputs
