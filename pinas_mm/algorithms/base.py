"""What training a supernet asks of an algorithm."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from torch import nn

from pinas_mm.models.cost import count_costs
from pinas_mm.models.samples import own_samples
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.registry import MODELS, PATH_SAMPLERS
from pinas_mm.run_state import run_state
from pinas_mm.space import Arch
from pinas_mm.space.arch import read_archs
from pinas_mm.space.cost import AdditiveCost


@dataclasses.dataclass
class Step:
    """A training step, as its paths see it one after the other.

    Attributes:
        paths: all of them.
        number: of the path in work, from 0.
        memory: what a path leaves for those after it, as its predictions.
    """

    paths: Sequence[Arch]
    number: int = 0
    memory: dict[str, Any] = dataclasses.field(default_factory=dict)


class SupernetAlgorithm(BaseModel):
    """How a supernet is trained: paths are drawn, each gives a loss, their mean is minimized.

    A subclass defines :meth:`path_loss`, may define :meth:`step_paths`, and :meth:`forward` for
    more than losses. Each path has a backward pass of its own, so that a step needs the memory of
    one path however many it takes; gradients are those of the mean. An algorithm whose paths depend
    on each other's graphs sets ``couples_paths`` and defines :meth:`loss`, which is then one graph.

    Under DistributedDataParallel the wrapper is
    :class:`~pinas_mm.engine.path_data_parallel.PathDataParallel`: a step leaves parameters unused.

    Args:
        paths: the path sampler or its config; None is one uniform path a step.
        data_preprocessor, init_cfg: mmengine's.

    Attributes:
        backbone: the supernet.
    """

    couples_paths: ClassVar[bool] = False
    backbone: PiNASSupernet
    data_preprocessor: Any

    def __init__(
        self,
        paths: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | nn.Module | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        if isinstance(data_preprocessor, dict):
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor, init_cfg)
        paths = dict(type="pinas_mm.UniformPaths") if paths is None else paths
        if isinstance(paths, dict):
            # What is registered here is found by its bare name in a config of any library.
            own = paths.get("type") in PATH_SAMPLERS.module_dict
            with DefaultScope.overwrite_default_scope("pinas_mm" if own else None):
                self.paths = PATH_SAMPLERS.build(paths)
        else:
            self.paths = paths

    def step_paths(self, seed: int, iteration: int) -> list[Arch]:
        """The paths of a step: a function of the run's seed, which is the same on all ranks, and of
        the iteration. So all ranks agree, and a resumed run draws what the unbroken one would have.
        """
        return self.paths(self.backbone.space, seed, iteration)

    def forward(
        self,
        inputs: Any,
        data_samples: Any = None,
        mode: str = "tensor",
        arch: Any = None,
        step: Step | None = None,
    ) -> Any:
        """Losses along a path, or of a whole step.

        Args:
            inputs, data_samples: of the batch.
            mode: ``loss``; a subclass may have others. The default, ``tensor``, is mmengine's, and
                always raises here.
            arch: the path; None is the step's.
            step: the step that the path is part of; None is a step of its own.

        Raises:
            NotImplementedError: any mode but ``loss``.
        """
        if mode != "loss":
            raise NotImplementedError(f"{type(self).__name__} must define forward() for {mode!r}")
        if step is None:
            return self.loss(inputs, data_samples, None if arch is None else [arch])
        batch = dict(inputs=inputs, data_samples=data_samples)
        # On a GPU DistributedDataParallel makes a plain tuple of it.
        return self.path_loss(batch, self.backbone.space.arch(arch), step)

    def path_loss(self, batch: dict[str, Any], arch: Arch, step: Step) -> dict[str, torch.Tensor]:
        """Losses of one path, and what else is to be logged.

        Paths may name their losses differently. In the mean over the paths a loss that a path lacks
        counts as 0; a value that is only logged is averaged over the paths that have it.

        Args:
            batch: as the data preprocessor gives it: ``inputs`` and ``data_samples``; where a step
                has several paths, each has data samples of its own.
            arch: the path.
            step: the step that the path is part of.
        """
        raise NotImplementedError(f"{type(self).__name__} must define path_loss()")

    def loss(
        self, inputs: Any, data_samples: Any = None, paths: Sequence[Any] | None = None
    ) -> dict[str, torch.Tensor]:
        """A whole step as one graph: the mean of the paths' losses.

        Args:
            inputs, data_samples: of the batch.
            paths: explicit paths in place of the step's.
        """
        step = self._begin(paths)
        batch = dict(inputs=inputs, data_samples=data_samples)
        losses = []
        for number, arch in enumerate(step.paths):
            step.number = number
            own = own_samples(batch) if len(step.paths) > 1 else batch
            found = self.path_loss(own, arch, step)
            losses.append({name: _scalar(loss) for name, loss in found.items()})
        return _means(losses)

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, torch.Tensor]:
        """mmengine's method: one step up to the optimizer's."""
        return self.run_step(self, data, optim_wrapper)

    def run_step(
        self, call: nn.Module, data: Any, optim_wrapper: OptimWrapper
    ) -> dict[str, torch.Tensor]:
        """A step through the distributed wrapper around this model.

        Args:
            call: the wrapper, or the model itself.
            data: of the loader.
            optim_wrapper: mmengine's.

        Returns:
            What is logged, averaged over the paths.
        """
        with optim_wrapper.optim_context(call):
            batch = self.data_preprocessor(data, True)
        step = self._begin(None) if not self.couples_paths else None
        if step is None or len(step.paths) == 1:
            options = {} if step is None else dict(arch=step.paths[0], step=step)
            with optim_wrapper.optim_context(call):
                losses = call(**batch, mode="loss", **options)
            loss, log = self.parse_losses(losses)
            optim_wrapper.update_params(loss)
            return log
        logs = []
        for number, arch in enumerate(step.paths):
            step.number, last = number, number == len(step.paths) - 1
            # Gradients add up here, and go to the other ranks with the last path's.
            alone = getattr(call, "no_sync", contextlib.nullcontext)
            with contextlib.nullcontext() if last else alone(), optim_wrapper.optim_context(call):
                own = own_samples(batch) if len(step.paths) > 1 else batch
                losses = call(**own, mode="loss", arch=arch, step=step)
            loss, log = self.parse_losses(losses)
            loss = loss / len(step.paths)
            logs.append(log)
            if last:
                optim_wrapper.update_params(loss)
            else:
                optim_wrapper.backward(optim_wrapper.scale_loss(loss))
                # The backward passes of a step are one to gradient accumulation.
                optim_wrapper._inner_count -= 1
        return _means(logs)

    def parse_losses(
        self, losses: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """mmengine's, but ``loss`` is the sum in the log too where one of several has this name."""
        loss, log = super().parse_losses(losses)
        return loss, {**log, "loss": loss}

    def path_parameters(self, arch: Arch) -> list[nn.Parameter]:
        """What a path's loss may move: the parts of the supernet that the path runs, and all that
        stands around the supernet. In the same order on all ranks.
        """
        along = [p for module in self.backbone.path_modules(arch) for p in module.parameters()]
        return [p for p in (*along, *self._around) if p.requires_grad]

    @functools.cached_property
    def _around(self) -> list[nn.Parameter]:
        supernet = set(self.backbone.parameters())
        return [parameter for parameter in self.parameters() if parameter not in supernet]

    def check_paths(self) -> None:
        """Checks the paths against the space; to be called when the supernet is there.

        Raises:
            UserError: the space cannot give the sampler's paths.
        """
        self.paths.check(self.backbone.space)
        self.paths.learn_costs(self._count)

    def _count(self, name: str, image_size: int) -> AdditiveCost:
        return count_costs(self.backbone, image_size, names=(name,))[name]

    def _begin(self, paths: Sequence[Any] | None) -> Step:
        if paths is None:
            return Step(self.step_paths(*run_state()))
        return Step(read_archs(paths, self.backbone.space))


def _scalar(loss: torch.Tensor | list[torch.Tensor]) -> torch.Tensor:
    """A model's loss as ``parse_losses`` counts it; a model with several feature maps may have a
    list of them.
    """
    if isinstance(loss, list):
        return cast(torch.Tensor, sum(part.mean() for part in loss))
    return loss.mean()


def _means(logs: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Means over paths: a loss that a path lacks is 0 there; a logged value is left out there."""
    means = {}
    for name in dict.fromkeys(name for log in logs for name in log):
        found = [log[name] for log in logs if name in log]
        # By its name parse_losses knows a loss.
        number = len(logs) if "loss" in name else len(found)
        means[name] = cast(torch.Tensor, sum(found)) / number
    return means
