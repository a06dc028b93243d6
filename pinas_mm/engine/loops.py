"""Validation loops for supernets, whose running statistics mean nothing for one architecture."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner, TestLoop, ValLoop, autocast
from mmengine.runner.base_loop import BaseLoop

from pinas_mm.algorithms.single_path import SinglePath
from pinas_mm.analysis.retrieval import cross_path_retrieval
from pinas_mm.data.batches import check_calibration
from pinas_mm.engine.runner_parts import unwrapped
from pinas_mm.errors import UserError
from pinas_mm.long_work import LongWork
from pinas_mm.models.batch_norm import CALIBRATION_BATCHES, Statistics
from pinas_mm.models.calibration import calibration_batch, calibration_pass
from pinas_mm.registry import LOOPS
from pinas_mm.run_state import shared_seed
from pinas_mm.search.evaluation.images import num_images
from pinas_mm.search.evaluation.scores.coco import shared_annotations
from pinas_mm.space import Arch
from pinas_mm.space.arch import read_archs
from pinas_mm.whole_numbers import check_seed

# It stands before one of mmengine's loops among a class's bases.
if TYPE_CHECKING:
    _Loop = ValLoop
else:
    _Loop = object


class _SupernetLoop(_Loop):
    """Evaluates architectures of a :class:`SinglePath`, each with batch-norm statistics of its own.

    The statistics of all architectures are computed first, so that the images to be scored are
    read once for all of them.

    Args:
        runner, dataloader, evaluator, fp16: as for mmengine's loops.
        calibration_dataloader: config of a loader of training images for the statistics.
        calibration_batches: how many batches of it to use.
        archs: the architectures, or one alone, in any form that :meth:`SearchSpace.arch` reads;
            None draws ``num_archs`` by the run's seed.
        num_archs: how many to draw; all there are, where there are fewer.

    Raises:
        UserError: ``calibration_batches`` or ``num_archs`` is below 1, the calibration loader has
            no batch of two images, or one of ``archs`` is none of the space.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Any,
        evaluator: Any,
        calibration_dataloader: dict[str, Any],
        calibration_batches: int = CALIBRATION_BATCHES,
        archs: Sequence[Any] | None = None,
        num_archs: int = 8,
        fp16: bool = False,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        if calibration_batches < 1 or num_archs < 1:
            raise UserError(
                f"calibration_batches {calibration_batches}, num_archs {num_archs}: both must be "
                "at least 1"
            )
        # The same on all ranks, whose statistics and metrics are put together.
        seed = shared_seed(runner.seed)
        self.calibration = runner.build_dataloader(calibration_dataloader, seed=seed)
        stage = "val" if isinstance(self, ValLoop) else "test"
        check_calibration(self.calibration, f"{stage}_cfg.calibration_dataloader")
        self.calibration_batches = calibration_batches
        space = unwrapped(runner.model).backbone.space
        self.archs = read_archs([] if archs is None else archs, space)
        if not self.archs:
            self.archs = space.sample(min(num_archs, space.size), np.random.default_rng(seed))

    def run(self) -> dict[str, Any]:
        """Metrics averaged over the architectures, and ``_std``, their deviation."""
        stage = "val" if isinstance(self, ValLoop) else "test"
        hook = self.runner.call_hook
        hook(f"before_{stage}")
        hook(f"before_{stage}_epoch")
        # With test-time augmentation around it, or a distributed wrapper.
        whole = self.runner.model
        whole.eval()
        model = unwrapped(whole)
        statistics = self._statistics(model)
        shared = shared_annotations(self.evaluator.metrics)
        evaluators = [copy.deepcopy(self.evaluator, dict(shared)) for _ in self.archs]
        progress = LongWork(
            f"{stage}, batches of {len(self.archs)} architectures",
            len(self.dataloader) * len(self.archs),
        )
        for index, data in enumerate(self.dataloader):
            hook(f"before_{stage}_iter", batch_idx=index, data_batch=data)
            for arch, stats, evaluator in zip(self.archs, statistics, evaluators, strict=True):
                with (
                    torch.no_grad(),
                    autocast(enabled=self.fp16),
                    stats.applied(),
                    model.backbone.on(arch),
                ):
                    outputs = whole.test_step(data)
                evaluator.process(data_samples=outputs, data_batch=data)
                progress.step()
            hook(f"after_{stage}_iter", batch_idx=index, data_batch=data, outputs=outputs)
        metrics = self._summary(evaluators)
        hook(f"after_{stage}_epoch", metrics=metrics)
        hook(f"after_{stage}")
        return metrics

    def _statistics(self, model: SinglePath) -> list[Statistics]:
        loaded = zip(range(self.calibration_batches), self.calibration, strict=False)
        # As loaded: uint8 on the CPU is small, and decoded once for all architectures.
        # A single image, as the last batch may be one, has no variance after pooling to a point.
        batches = [data for _, data in loaded if num_images(data) > 1]

        progress = LongWork(
            f"statistics of {len(self.archs)} architectures, batches",
            len(self.archs) * len(batches),
        )

        def run(numbered: tuple[int, dict[str, Any]], arch: Arch) -> None:
            # All that predictions go through: neck and heads have batch norms too.
            number, data = numbered
            with autocast(enabled=self.fp16), model.backbone.on(arch):
                inner = model.model
                calibration_pass(inner, calibration_batch(inner, data), number)
            progress.step()

        numbered = list(enumerate(batches))
        return [Statistics(model, partial(run, arch=arch), numbered) for arch in self.archs]

    def _summary(self, evaluators: Sequence[Evaluator]) -> dict[str, float]:
        each = [evaluator.evaluate(len(self.dataloader.dataset)) for evaluator in evaluators]
        for arch, metrics in zip(self.archs, each, strict=True):
            shown = ", ".join(f"{name} {value:.2f}" for name, value in metrics.items())
            self.runner.logger.info(f"architecture {arch}: {shown}")
        summary = {}
        for name in each[0]:
            # In float64, so that one architecture's are the metric's own numbers.
            values = torch.tensor([metrics[name] for metrics in each], dtype=torch.float64)
            summary[name] = float(values.mean())
            summary[f"{name}_std"] = float(values.std(correction=0))
        return summary


@LOOPS.register_module()
class SupernetValLoop(_SupernetLoop, ValLoop):
    """Validation of a model with a supernet during its training."""

    __doc__ += str(_SupernetLoop.__doc__).split("\n", 1)[1]


@LOOPS.register_module()
class SupernetTestLoop(_SupernetLoop, TestLoop):
    """Test of a model with a supernet."""

    __doc__ += str(_SupernetLoop.__doc__).split("\n", 1)[1]


@LOOPS.register_module()
class RetrievalLoop(BaseLoop):
    """Validation or test without labels: cross-path retrieval on held-out images.

    Args:
        runner, dataloader: as for mmengine's loops.
        evaluator: unused; mmengine hands one to every loop.
        num_images: how many images to use, of the loader's first ones, of all ranks together.
        num_pairs: pairs of paths to average over.
        seed: of views and paths, the same for every run, so that runs compare.
        fp16: unused; mmengine sets it with ``--amp``.

    Raises:
        UserError: a number out of range.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Any,
        evaluator: Any = None,
        num_images: int = 512,
        num_pairs: int = 8,
        seed: int = 0,
        fp16: bool = False,
    ) -> None:
        super().__init__(runner, dataloader)
        check_seed(seed)
        if num_images < 1 or num_pairs < 1:
            raise UserError(
                f"num_images {num_images}, num_pairs {num_pairs}: at least 1 image and pair are "
                "allowed"
            )
        self.num_images, self.num_pairs, self.seed = num_images, num_pairs, seed

    def run(self) -> dict[str, float]:
        """``retrieval/top1`` in percent and ``retrieval/spread``, the same on all ranks."""
        stage = "test" if self.runner._test_loop is self else "val"
        self.runner.call_hook(f"before_{stage}")
        self.runner.call_hook(f"before_{stage}_epoch")
        model = unwrapped(self.runner.model)
        result = cross_path_retrieval(model, self._views(model), self.num_pairs, self.seed)
        metrics = {"retrieval/top1": 100 * result.top1, "retrieval/spread": result.spread}
        self.runner.call_hook(f"after_{stage}_epoch", metrics=metrics)
        self.runner.call_hook(f"after_{stage}")
        return metrics

    @torch.no_grad()
    def _views(self, model: torch.nn.Module) -> list[list[torch.Tensor]]:
        """Batches of two views of this rank's images."""
        preprocessor: Any = model.data_preprocessor
        wanted = -(-self.num_images // get_world_size())
        batches: list[list[torch.Tensor]] = []
        for index, data in enumerate(self.dataloader):
            crops = preprocessor.batches(data)
            views = preprocessor.make_views(crops, self.seed, index, 2)
            batches.append([view[:wanted] for view in views])
            wanted -= len(crops[0])
            if wanted <= 0:
                break
        if len(batches) > 1 and len(batches[-1][0]) == 1:
            # Batch norms cannot normalize by a single image.
            batches[-2:] = [[torch.cat(pair) for pair in zip(*batches[-2:], strict=True)]]
        if not batches or len(batches[0][0]) == 1:
            raise UserError(
                f"retrieval compares images, at least 2 in each process: num_images is "
                f"{self.num_images}, the data set has {len(self.dataloader.dataset)}"
            )
        return batches
