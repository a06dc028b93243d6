"""How long each candidate of each block takes on this machine, and so any architecture."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from pinas_mm.machine import load
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.models.deployed import deployed
from pinas_mm.models.following import Following, network_in
from pinas_mm.models.network import BUILT_BY, CHANNELS_LAST, layout_of
from pinas_mm.search.budget.latency_options import LatencyOptions
from pinas_mm.search.budget.latency_table import LatencyTable
from pinas_mm.search.budget.timing import noise, timed, torch_threads
from pinas_mm.space import SearchSpace
from pinas_mm.weights.subnet import subnet_state

# Of whole architectures, which take as long as all their parts.
CHECK_REPEATS = 5


def measure_latency(
    space: SearchSpace,
    options: LatencyOptions,
    model: nn.Module | None = None,
    image: torch.Tensor | None = None,
    progress: Callable[[float], None] | None = None,
) -> LatencyTable:
    """Times each candidate of each block alone, as the stand-alone backbone has it, in the form and
    precision in which it will run.

    Blocks that do the same on inputs of the same shape are measured once. What follows the
    backbone in a model is measured once, as the model predicts: with post-processing, as a
    detector's non-maximum suppression, and always eager in float32. Then some architectures are
    timed whole, to see how far the sums of parts are off. The random numbers of the process, and
    the model, are left alone.

    Args:
        space: the search space.
        options: what is measured, and how.
        model: of mmpretrain, mmdet or mmseg, with a supernet of the space as its backbone; None
            measures the backbone alone.
        image: what the model predicts on, as the network gets it, shape (in_channels, height,
            width): how long post-processing takes depends on what is found. It is resized. None is
            noise.
        progress: called with the share that is done, 0 to 1.

    Raises:
        UserError: what :meth:`LatencyOptions.setting` raises, or the model does not take the
            backbone's feature maps.
    """
    setting = options.setting(space, model)
    device = options.torch_device
    whole = space.sample(min(options.check, space.size), np.random.default_rng(0))
    steps = space.mask.sum() + (model is not None) + len(whole)
    done = itertools.count(1)

    def step() -> None:
        if progress:
            progress(next(done) / steps)

    before = load()
    with (
        torch_threads(setting["threads"]),
        torch.random.fork_rng(devices=[]),
        torch.inference_mode(),
    ):
        parts = _Parts(space, options, setting)
        parts.measure(step)
        images, following = _images(image, setting).to(device), None
        if model is not None:
            following = Following(model, tuple(setting["image_size"]), "predict").to(device)
            first = space.mask.argmax(axis=1)
            maps = _alone(first, space, setting, model).to(device)(images)
            parts.fixed += timed(following, maps, options.repeats)[0]
            step()
        cost, errors = LatencyTable(setting, parts.fixed, parts.table).additive(), []
        for arch in whole:
            alone = parts.ready(_alone(arch, space, setting, model).to(device), images)
            run: Callable[..., Any] = alone
            if following is not None:
                run = functools.partial(following.run, network=_in_float32(alone))
            seconds, *_ = timed(run, images.to(parts.dtype), min(options.repeats, CHECK_REPEATS))
            errors.append(abs(float(cost.of(np.array([arch]))[0]) / seconds - 1))
            step()
    error = statistics.median(errors) if errors else None
    return LatencyTable(setting, parts.fixed, parts.table, before, parts.spread, error)


class _Parts:
    """The parts of a space's backbones, timed one by one.

    Attributes:
        fixed, table: as :class:`LatencyTable`'s, once they are measured.
        ready: a network, and its input, as the form in which it will run.
        dtype: of its input.
    """

    def __init__(
        self, space: SearchSpace, options: LatencyOptions, setting: dict[str, Any]
    ) -> None:
        self._space, self._options, self._setting = space, options, setting
        self.dtype = getattr(torch, options.dtype)
        self.ready = functools.partial(deployed, form=options.form, dtype=options.dtype)
        layout = layout_of(setting.get("memory_format", CHANNELS_LAST))
        self._noise = functools.partial(noise, device=options.torch_device, layout=layout)
        self._measured: dict[tuple[Any, ...], tuple[float, torch.Size, float]] = {}
        self.fixed = 0.0
        self.table = np.full(space.mask.shape, np.nan)

    @property
    def spread(self) -> float:
        """Median over the blocks that were timed."""
        return statistics.median(spread for *_, spread in self._measured.values())

    def measure(self, step: Callable[[], None]) -> None:
        """Measures all.

        Args:
            step: called after each candidate of each block.
        """
        space, setting = self._space, self._setting
        first = space.mask.argmax(axis=1)
        size = setting["batch_size"], setting["in_channels"], *setting["image_size"]
        for choice in range(space.num_candidates):
            arch = np.where(space.mask[:, choice], choice, first)
            backbone = PiNASBackbone(arch, space, **_built_by(setting)).eval()
            backbone = backbone.to(self._options.torch_device)
            if choice == 0:
                self.fixed, stem_shape, _ = self._time(backbone.stem_modules, torch.Size(size))
            shape = stem_shape
            for number, here in enumerate(arch):
                seconds = 0.0
                if number < backbone.num_running:
                    seconds, shape = self._block(backbone, number, int(here), shape)
                if here == choice:
                    self.table[number, choice] = seconds
                    step()
            ends = backbone.num_stages - 1 in backbone.out_indices
            if choice == 0 and ends and hasattr(backbone, "output"):
                self.fixed += self._time([backbone.output], shape)[0]

    def _block(
        self, backbone: PiNASBackbone, number: int, candidate: int, shape: torch.Size
    ) -> tuple[float, torch.Size]:
        """Seconds, and shape of the output, of a block on an input of a shape."""
        spec = backbone.specs[number]
        # Where a block stands matters only by its input; a transition is a stage's own.
        apart = self._space.skeleton.transitions and spec.first
        place = spec if apart else dataclasses.replace(spec, stage=0, index=0)
        key = candidate, place, shape
        if key not in self._measured:
            self._measured[key] = self._time(backbone.cell(number), shape)
        return self._measured[key][:2]

    def _time(
        self, modules: Sequence[nn.Module], shape: torch.Size
    ) -> tuple[float, torch.Size, float]:
        """Seconds, shape of the output and spread of what runs in a row on noise."""
        x = self._noise(shape)
        run = self.ready(nn.Sequential(*modules), x)
        seconds, out, spread = timed(run, x.to(self.dtype), self._options.repeats)
        return seconds, out.shape, spread


def _built_by(setting: dict[str, Any]) -> dict[str, Any]:
    """A network's arguments among a setting, which has what is not as usual."""
    return {name: setting[name] for name in BUILT_BY if name in setting}


def _alone(
    arch: Sequence[int], space: SearchSpace, setting: dict[str, Any], model: nn.Module | None
) -> PiNASBackbone:
    """An architecture's own network, with the model's weights where there is one."""
    options = _built_by(setting)
    if model is None:
        last = (options.pop("out_indices", None) or [len(space.depths) - 1])[-1:]
        return PiNASBackbone(arch, space, out_indices=last, **options).eval()
    supernet = network_in(model)
    backbone = PiNASBackbone(arch, space, **options | dict(out_indices=supernet.out_indices))
    backbone.load_state_dict(subnet_state(supernet.state_dict(), space.arch(arch), space))
    return backbone.eval()


def _in_float32(network: Callable[[torch.Tensor], Any]) -> Callable[[torch.Tensor], Any]:
    return lambda images: tuple(maps.float() for maps in network(images))


def _images(image: torch.Tensor | None, setting: dict[str, Any]) -> torch.Tensor:
    """A batch of one image, or of noise."""
    if image is None:
        image = torch.rand(setting["in_channels"], *setting["image_size"])
    image = nn.functional.interpolate(image[None].float(), setting["image_size"])
    return image.repeat(setting["batch_size"], 1, 1, 1)
