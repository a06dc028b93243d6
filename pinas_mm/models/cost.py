"""Costs are counted: a network's parts are run on the meta device, where nothing is computed, and
what follows it in a model once for real.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pinas_mm.compat import plain_attention
from pinas_mm.errors import UserError, reason
from pinas_mm.models.following import Following, Maps, network_in
from pinas_mm.models.network import BUILT_BY, Network
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.registry import COSTS, find
from pinas_mm.space import SearchSpace
from pinas_mm.space.cost import AdditiveCost, CostTable

Run = Callable[[torch.Tensor], torch.Tensor]


class Part(nn.Module):
    """A part of a network as a module of its own: the stem, or a candidate with what is around it.

    Args:
        modules: what it is made of.
        run: runs it.
    """

    def __init__(self, modules: Iterable[nn.Module], run: Run) -> None:
        super().__init__()
        self.parts, self._run = nn.ModuleList(modules), run

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) to the part's output."""
        return self._run(x)


def params(part: nn.Module, x: torch.Tensor | Maps) -> float:
    """Learnable parameters."""
    return sum(parameter.numel() for parameter in part.parameters())


def macs(part: nn.Module, x: torch.Tensor | Maps) -> float:
    """Multiply-adds of convolutions and matrix products for one image, as PyTorch counts FLOPs,
    which counts none of its fused attention's.
    """
    with plain_attention(), FlopCounterMode(display=False) as counter:
        part(x)
    images = len(x if isinstance(x, torch.Tensor) else x[0])
    return counter.get_total_flops() // 2 // images


def count_costs(
    network: nn.Module | SearchSpace,
    image_size: int | Sequence[int] = 224,
    num_classes: int = 0,
    names: Sequence[str] = ("params", "macs"),
) -> CostTable:
    """Costs of all architectures, part by part.

    A cost is a function of :data:`pinas_mm.registry.COSTS`, ``cost(part, x)``: a number that adds
    up over the parts of a network, from a part (a module) and its input on the meta device, one
    image of shape (1, channels, height, width). What follows the network in a model is one more
    part; its input is the tuple of the network's feature maps, on the model's device.

    Args:
        network: a supernet or backbone, whose strides, dilations and input channels count, and of
            which only what runs costs: no stage after the last whose feature map is returned. Of a
            space, one with the space's own and three channels. Of a model of mmpretrain, mmdet or
            mmseg with one of them as its backbone, all is counted that the model runs in
            evaluation: neck and heads, but no auxiliary head. A two-stage detector has as many
            proposals as its config allows, and masks as its library's counting (100).
        image_size: height and width of the images in pixels, or one number for both.
        num_classes: outputs of a linear classifier on the pooled last stage; 0 for none.
        names: of the costs.

    Raises:
        UserError: a size is below 1, a cost is unknown or does not take feature maps, or the model
            has no network of ours, several, or one whose feature maps it does not take.

    Example:
        >>> @COSTS.register_module()
        ... def batch_norms(part, x):
        ...     return sum(isinstance(m, nn.BatchNorm2d) for m in part.modules())
    """
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(size) != 2 or min(size) < 1 or num_classes < 0:
        raise UserError(
            f"image size {size}, {num_classes} classes: sizes must be at least 1, classes at "
            "least 0"
        )
    functions = {name: find(COSTS, name, f"cost {name}") for name in names}
    model = None
    if not isinstance(network, (Network, SearchSpace)):
        model, network = network, network_in(network)
    twin = _twin(network)
    fixed = dict.fromkeys(names, 0.0)
    tables = {name: np.full(twin.space.mask.shape, np.nan) for name in names}
    known: dict[tuple[Any, ...], tuple[dict[str, float], torch.Tensor]] = {}
    maps: list[torch.Tensor] = []

    def count(modules: Iterable[nn.Module], run: Run, x: torch.Tensor) -> dict[str, float]:
        part = Part(modules, run).eval()
        return {name: float(function(part, x)) for name, function in functions.items()}

    def add(modules: Iterable[nn.Module], run: Run, x: torch.Tensor) -> torch.Tensor:
        for name, value in count(modules, run, x).items():
            fixed[name] += value
        return run(x)

    with torch.no_grad(), _large_enough(size):
        x = torch.zeros(1, twin.in_channels, *size, device="meta")
        x = add(twin.stem_modules, twin.forward_stem, x)
        for number, spec in enumerate(twin.specs):
            if number >= twin.num_running:
                for table in tables.values():
                    table[number, twin.choices_at(number)] = 0
                continue
            for choice in twin.choices_at(number):
                # A block like another costs the same, unless a user's operation looks at where it
                # stands; a stage's first has a transition of its own.
                own = spec.first or not twin.space.candidates[choice].tested
                place = spec if own else dataclasses.replace(spec, stage=0, index=1)
                key = place, choice, x.shape
                if key not in known:
                    run = partial(twin.forward_cell, number=number, choice=choice)
                    known[key] = count(twin.cell(number, choice), run, x), run(x)
                for name, value in known[key][0].items():
                    tables[name][number, choice] = value
            x = known[key][1]
            stage = twin.returned_after(number)
            if stage is not None:
                maps.append(twin.forward_output(x, stage))
        if hasattr(twin, "output") and twin.num_stages - 1 in twin.out_indices:
            x = add([twin.output], twin.output, x)
        if num_classes:
            classifier = nn.Linear(x.shape[1], num_classes, device="meta")
            add([classifier], classifier, x.mean(dim=(2, 3)))
    counted = f"backbone with {num_classes} classes" if num_classes else "backbone"
    if model is not None:
        counted = f"whole {type(model).__name__}"
        for name, value in _following(model, size, tuple(maps), functions).items():
            fixed[name] += value
    costs = [AdditiveCost(name, fixed[name], tables[name]) for name in names]
    counted += f" at {size[0]} x {size[1]} pixels"
    return CostTable(twin.space, costs, counted, size)


def _following(
    model: nn.Module, size: tuple[int, int], maps: Maps, functions: Mapping[str, Callable[..., Any]]
) -> dict[str, float]:
    """Costs of what follows the network in a model, on feature maps of these shapes."""
    following = Following(model, size, "tensor")
    weight = next(following.parameters(), torch.empty(0))
    generator = torch.Generator().manual_seed(0)
    found = {}
    with torch.no_grad():
        given = tuple(torch.rand(x.shape, generator=generator).to(weight) for x in maps)
        following.keep_used(given)
        for name, function in functions.items():
            try:
                found[name] = float(function(following, given))
            except (AttributeError, TypeError) as error:
                raise UserError(
                    f"cost {name} cannot be counted for what follows the network in "
                    f"{type(model).__name__} ({error}): there its x is the tuple of feature maps, "
                    "as for a module that is called part(x)"
                ) from error
    return found


@contextlib.contextmanager
def _large_enough(size: tuple[int, ...]) -> Iterator[None]:
    """What PyTorch says of images that leave nothing of themselves, for people."""
    try:
        yield
    except RuntimeError as error:
        raise UserError(
            f"images of {size[0]} x {size[1]} pixels do not pass the network ({reason(error)}): "
            "costs are counted on larger ones"
        ) from error


def _twin(network: Network | SearchSpace) -> PiNASSupernet:
    """The supernet of a network, without memory."""
    if isinstance(network, SearchSpace):
        space, options = network, {}
    else:
        space = network.space
        options = {name: getattr(network, name) for name in BUILT_BY}
    with torch.device("meta"):
        return PiNASSupernet(space, **options).eval()
