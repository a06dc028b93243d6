"""What follows a network in a model, alone: neck, heads, and what becomes of their output."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from pinas_mm.errors import UserError, reason
from pinas_mm.models.network import Network

Maps = tuple[torch.Tensor, ...]
# What models raise where sizes do not fit.
FAULTS = (RuntimeError, AssertionError, LookupError, AttributeError, TypeError, ValueError)
NetworkCall = Callable[[torch.Tensor], Maps]


def network_in(model: nn.Module) -> Network:
    """The one supernet or backbone of ours in a model.

    Raises:
        UserError: it has none, or several.
    """
    modules = model.modules() if isinstance(model, nn.Module) else ()
    found = [module for module in modules if isinstance(module, Network)]
    if len(found) != 1:
        raise UserError(
            f"{type(model).__name__} has {len(found)} networks with a search space: costs of a "
            "whole model need exactly one, its backbone"
        )
    return found[0]


class Following(nn.Module):
    """A model of mmpretrain, mmdet or mmseg without its network, whose feature maps it is given.

    It is a copy in evaluation mode, on the model's device; the model is left as it is, and the
    network is not copied.

    Args:
        model: has one supernet or backbone of ours, in any place.
        image_size: height and width of the images that the network gets, in pixels.
        mode: ``predict`` is what a user waits for; ``tensor`` is neck and heads alone, without what
            becomes of their output. A two-stage detector then has as many proposals as its config
            allows, whatever the weights: none is suppressed for another.

    Raises:
        UserError: the model has no such network, or several.
    """

    def __init__(self, model: nn.Module, image_size: tuple[int, int], mode: str) -> None:
        super().__init__()
        network = network_in(model)
        self._in_channels, self._size, self._mode = (
            network.in_channels,
            (image_size[0], image_size[1]),
            mode,
        )
        self._place = _Place(self._size)
        # What copy takes for a copy that it has made already.
        self.model = copy.deepcopy(model, {id(network): self._place}).eval()
        # PyTorch's counter looks for the graph of whatever has a gradient.
        self.model.requires_grad_(False)
        if mode == "tensor":
            for module in self.model.modules():
                config = getattr(module, "test_cfg", None)
                if isinstance(config, Mapping) and isinstance(config.get("nms"), Mapping):
                    config["nms"]["iou_threshold"] = 1.0

    def forward(self, maps: Maps) -> Any:
        """The model's answer to feature maps, each of shape (N, channels, height, width)."""
        images = maps[0].new_zeros(len(maps[0]), self._in_channels, *self._size)
        return self.run(images, lambda x: maps)

    def run(self, images: torch.Tensor, network: NetworkCall) -> Any:
        """The model's answer to images (N, channels, height, width), with any network.

        Raises:
            UserError: the model does not take the network's feature maps.
        """
        # No module of the place's own.
        self._place.network = lambda x: network(x)
        # Only here: who looks a network up does not load mmpretrain.
        from mmpretrain.structures import DataSample

        facts: dict[str, Any] = dict.fromkeys(("img_shape", "ori_shape", "pad_shape"), self._size)
        facts |= dict(batch_input_shape=self._size, scale_factor=(1.0, 1.0), flip=False)
        # The models of all three libraries take mmpretrain's, which its own insist on.
        samples = [DataSample(metainfo=facts, gt_instances=InstanceData()) for _ in images]
        try:
            return self.model(images, samples, mode=self._mode)
        except FAULTS as error:
            shapes = " ".join("x".join(map(str, x.shape)) for x in self._place.maps)
            raise UserError(
                f"what follows the network in {type(self.model).__name__} fails on its feature "
                f"maps of {shapes} ({reason(error)}): out_indices must suit neck and heads, and "
                "the images be large enough; search.num_classes=0 leaves out what follows"
            ) from error

    def keep_used(self, maps: Maps) -> Following:
        """Removes the parts that a prediction does not use, as an auxiliary head."""
        with _Used() as used:
            self(maps)
        for module in list(self.modules()):
            for name, child in list(module.named_children()):
                own = set(child.parameters())
                if own and not own & used.parameters:
                    setattr(module, name, None)
        return self


class _Place(nn.Module):
    """Stands where the network stood.

    Attributes:
        network: what is called instead.
        maps: what it gave last.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.network: NetworkCall
        self.maps: Maps = ()
        self._size = size

    def forward(self, x: torch.Tensor) -> Maps:
        if x.shape[2:] != self._size:
            raise UserError(
                f"the model runs its network on {' x '.join(map(str, x.shape[2:]))} pixels of an "
                f"image of {' x '.join(map(str, self._size))}, as sliding windows do: count and "
                "measure with the window's image_size"
            )
        self.maps = self.network(x)
        return self.maps


class _Used(TorchDispatchMode):
    """Collects the parameters that operations read, however a module keeps and calls them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # PyTorch's.
        self.parameters: set[nn.Parameter] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = tree_flatten((args, kwargs))[0]
        self.parameters |= {x for x in given if isinstance(x, nn.Parameter)}
        return func(*args, **(kwargs or {}))
