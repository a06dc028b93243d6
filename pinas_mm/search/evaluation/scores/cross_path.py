"""The label-free score: does an architecture see what its partners see?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from pinas_mm.algorithms.heads import CrossPathHead, InfoNCEHead
from pinas_mm.algorithms.pinas import PiNAS
from pinas_mm.data.views import ViewsPreprocessor
from pinas_mm.errors import UserError
from pinas_mm.registry import SCORES
from pinas_mm.run_state import generator
from pinas_mm.search.evaluation.scores.base import FeatureScore
from pinas_mm.search.evaluation.subnets import Subnets
from pinas_mm.space import Arch
from pinas_mm.space.paths import FairPaths

# What the views of an image are for: they must not repeat.
CALIBRATION, SCORING = 0, 1
# Whose view it is, and which of two crops it is made of.
STUDENT, TEACHER = 0, 1
# Of all partners the keys of all images, and statistics, are in memory.
MOST_PARTNERS = 4096


@dataclasses.dataclass
class _Keys:
    """The teacher's embeddings of all images, shape (partners, images, dim)."""

    everything: torch.Tensor
    start: int
    stop: int

    @property
    def of_batch(self) -> torch.Tensor:
        return self.everything[:, self.start : self.stop]


@dataclasses.dataclass
class _Tally:
    loss: torch.Tensor | float = 0.0  # sums over images, on the model's device
    hits: torch.Tensor | int = 0
    images: int = 0


@SCORES.register_module()
class CrossPathScore(FeatureScore):
    """Cross-path loss of an architecture against partner paths on held-out images (Pi-NAS, 4.2).

    The student sees one view of an image along the architecture, the teacher another along each
    partner path. Partners, views and the teacher's keys are the same for all architectures, so
    that scores compare. Partners are drawn in groups that have every candidate of every block once:
    a path that agrees with its partner more has it easier, and this way all architectures agree
    with them equally often, if ``partners`` is a multiple of the number of candidates.

    Negatives of the loss are the head's queue, as in training; retrieval compares with the keys of
    the other held-out images and needs no queue. Statistics are recomputed on augmented views too:
    those of plain images would not be the ones of what is scored.

    Metrics: ``cross_path/score``, minus the mean loss; ``cross_path/retrieval``, percentage of
    images whose embedding is nearest to the same image's key, of all images' keys, averaged over
    the partners.

    Args:
        partners: how many partner paths.
        seed: of the partners.
        views_seed: of the views.

    Raises:
        UserError: fewer than one partner or too many, or a negative seed.
    """

    names = ("cross_path/score", "cross_path/retrieval")
    version = 1  # Since each of an image's two views is drawn by itself.

    def __init__(self, partners: int = 8, seed: int = 0, views_seed: int = 0) -> None:
        whole = all(isinstance(value, int) for value in (partners, seed, views_seed))
        if not whole or not 1 <= partners <= MOST_PARTNERS or seed < 0 or views_seed < 0:
            raise UserError(
                f"partners {partners}, seed {seed}, views_seed {views_seed}: there must be at "
                f"least 1 partner and at most {MOST_PARTNERS}, and seeds are at least 0"
            )
        self.partners, self.seed, self.views_seed = partners, seed, views_seed
        self._keys: torch.Tensor | None = None
        self._bounds: list[tuple[int, int]] = []

    def check(self, model: nn.Module) -> None:
        """Raises :class:`UserError` where the model is not the self-supervised algorithm."""
        if (
            not isinstance(model, PiNAS)
            or not isinstance(model.head, CrossPathHead)
            or not isinstance(model.data_preprocessor, ViewsPreprocessor)
        ):
            raise UserError(
                "CrossPathScore needs a pinas_mm.PiNAS with a CrossPathHead and a "
                f"ViewsPreprocessor, not {type(model).__name__}: give the self-supervised "
                "supernet's config and checkpoint (configs/pinas_supernet.py), or score a "
                "classifier by pinas_mm.ProbeScore"
            )

    @property
    def following(self) -> list[nn.Module]:
        """The student's neck."""
        return [self.model.neck]

    def follow(
        self, feats: tuple[torch.Tensor, ...], targets: _Keys | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Embeddings, not normalized."""
        return self.model.neck(feats)

    def paths(self) -> list[Arch]:
        """The partner paths."""
        return FairPaths(self.partners)(self.model.backbone.space, self.seed, 0)

    def begin(
        self,
        calibration: Sequence[dict[str, Any]] | None,
        images: Sequence[dict[str, Any]],
        limit: float,
    ) -> None:
        """Computes the teacher's keys along the partners, with statistics of their own."""
        backbone, neck = self.model.teacher_networks
        own = calibration is not None
        subnets = Subnets(backbone, self.paths(), limit, [neck], own)
        for number, batch in enumerate((calibration or ()) if subnets.recalibrated else ()):
            inputs, _ = self.prepare_calibration(batch, number)
            subnets.calibrate(inputs, lambda archs, feats: neck(feats))
        batches = []
        for number, batch in enumerate(images):
            keys: list[torch.Tensor | None] = [None] * self.partners

            def end(
                archs: list[int], feats: tuple[torch.Tensor, ...], keys: list[Any] = keys
            ) -> None:
                for index in archs:
                    keys[index] = F.normalize(neck(feats)[0], dim=1)

            subnets.run(self.view(batch, number, SCORING, TEACHER), end)
            batches.append(torch.stack(cast(list[torch.Tensor], keys)))
        ends = torch.tensor([keys.shape[1] for keys in batches]).cumsum(0).tolist()
        self._bounds = list(zip([0, *ends], ends, strict=False))
        self._keys = torch.cat(batches, dim=1)

    def view(
        self, batch: dict[str, Any], number: int, use: int, whose: int = STUDENT
    ) -> torch.Tensor:
        """An augmented, normalized view (N, 3, H, W) of a batch, the same on every rank.

        Args:
            batch: as loaded: one crop of each image, or one for each of the two.
            number: of the batch.
            use: CALIBRATION or SCORING.
            whose: STUDENT or TEACHER.
        """
        preprocessor = self.model.data_preprocessor
        # Not make_views: its random numbers differ between ranks, and it makes both views, of which
        # one is wanted at a time.
        random = generator(self.views_seed, use, number, whose)
        augmented = preprocessor.augment(preprocessor.crop(batch, whose), random)
        dtype = next(self.model.backbone.parameters()).dtype
        return cast(torch.Tensor, preprocessor.normalize(augmented)).to(dtype)

    def image_size(self, batch: dict[str, Any]) -> tuple[int, int]:
        """Height and width in pixels of the views."""
        height, width = self.prepare_calibration(batch, 0)[0].shape[-2:]
        return height, width

    def prepare_calibration(self, batch: dict[str, Any], number: int) -> tuple[torch.Tensor, None]:
        """One augmented view."""
        return self.view(batch, number, CALIBRATION), None

    def prepare(self, batch: dict[str, Any], number: int) -> tuple[torch.Tensor, _Keys]:
        """The student's view, and the teacher's keys."""
        keys = _Keys(cast(torch.Tensor, self._keys), *self._bounds[number])
        return self.view(batch, number, SCORING), keys

    def new_tally(self) -> _Tally:
        """Nothing added yet."""
        return _Tally()

    def update(self, tally: _Tally, feats: tuple[torch.Tensor, ...], targets: _Keys) -> None:
        """Adds losses and retrievals."""
        queries = F.normalize(self.model.neck(feats)[0], dim=1)
        tally.loss = tally.loss + self._loss(queries, targets.of_batch) * len(queries)
        positions = torch.arange(targets.start, targets.stop, device=queries.device)
        for keys in targets.everything:
            # Of equal similarities the first wins, so collapsed embeddings score like chance.
            tally.hits = tally.hits + ((queries @ keys.T).argmax(dim=1) == positions).sum()
        tally.images += len(queries)

    def metrics(self, tally: _Tally) -> dict[str, float]:
        """Score and retrieval."""
        score = -float(tally.loss) / tally.images
        retrieval = 100 * int(tally.hits) / (tally.images * len(cast(torch.Tensor, self._keys)))
        return dict(zip(self.names, (score, retrieval), strict=True))

    def _loss(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Mean over images and partners."""
        pair = self.model.head.pair
        if not isinstance(pair, InfoNCEHead):
            return sum(pair(queries, key) for key in keys).double() / len(keys)
        # The pair head's InfoNCE, with the negatives' part computed once for all partners.
        queries, keys = queries.to(pair.queue.dtype), keys.to(pair.queue.dtype)
        negatives = (queries @ pair.queue / pair.temperature).logsumexp(dim=1)
        positives = (queries * keys).sum(dim=2) / pair.temperature
        return (torch.logaddexp(positives, negatives) - positives).double().mean()
