"""Batch norms folded into the convolutions before them, for inference."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from pinas_mm.errors import UserError
from pinas_mm.models.batch_norm import batch_norms
from pinas_mm.models.pointwise import PointwiseConv

# What computes with weight and bias as they are; a subclass may do more.
CONVOLUTIONS = (nn.Conv2d.forward, PointwiseConv.forward)
BATCH_NORMS = (_BatchNorm.forward, nn.SyncBatchNorm.forward)


@torch.no_grad()
def fold_batch_norms(module: nn.Module, images: torch.Tensor) -> nn.Module:
    """A copy whose convolutions do what the batch norms after them did, for inference.

    The module is run once, so that it does not matter how it is written: a batch norm is folded
    where its input is a convolution's output that nothing else reads, and both run once. All other
    layers, group norms among them, stay as they are, and so do those with hooks or
    parametrizations (weight norm), which do more. Of a folded batch norm ``nn.Identity`` is
    left, and the convolution has a bias, so that the copy's state dict is another.

    Args:
        module: any network, not only ours, its batch norms in evaluation mode; stays as it is.
        images: that it takes, of any size that it allows.

    Returns:
        The copy, which computes the same up to rounding.

    Raises:
        UserError: a batch norm is in training mode.

    Example:
        >>> backbone = PiNASBackbone('pinas_cls').eval()
        >>> folded = fold_batch_norms(backbone, torch.zeros(1, 3, 64, 64))
        >>> sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in folded.modules())
        0
    """
    if any(norm.training for norm in batch_norms(module)):
        raise UserError(
            "a batch norm in training mode normalizes by its batch, which no weights can stand "
            "for: call eval() before fold_batch_norms()"
        )
    folded = copy.deepcopy(module)
    pointwise: list[nn.Conv2d] = [
        layer for layer in folded.modules() if type(layer) is PointwiseConv
    ]
    for layer in pointwise:
        # Of few pixels it would be seen as a product.
        layer.__class__ = nn.Conv2d
    with _Uses() as uses:
        returned = folded(images)
    # Who gets it reads it as well.
    uses.read((returned,))
    for layer in pointwise:
        layer.__class__ = PointwiseConv
    convs = {id(conv.weight): conv for conv in _layers(folded, nn.Conv2d, CONVOLUTIONS)}
    done = set()
    for norm in _layers(folded, _BatchNorm, BATCH_NORMS):
        conv = _only_source(norm, uses, convs)
        if conv is not None:
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight,
                conv.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
            )
            done.add(norm)
    for parent in list(folded.modules()):
        parent._modules |= {n: nn.Identity() for n, m in parent._modules.items() if m in done}
    return folded


def _layers(module: nn.Module, kind: type, forwards: Sequence[Callable[..., Any]]) -> list[Any]:
    found = [m for m in module.modules() if isinstance(m, kind) and type(m).forward in forwards]
    return [one for one in found if not _does_more(one)]


def _does_more(layer: nn.Module) -> bool:
    """Whether something runs with a layer, or makes its weights."""
    hooks = (layer._forward_hooks, layer._forward_pre_hooks)
    return any(hooks) or is_parametrized(layer)


def _only_source(norm: _BatchNorm, uses: _Uses, convs: dict[int, nn.Conv2d]) -> nn.Conv2d | None:
    """The convolution whose output a batch norm alone reads, where each of them runs once."""
    if norm.running_mean is None:
        return None
    normalized = uses.of(norm.running_mean)
    if len(normalized) != 1:
        return None
    made_by = uses.makers.get(id(normalized[0][0]))
    conv = convs.get(id(made_by[1])) if made_by else None
    if conv is None or len(uses.of(conv.weight)) != 1 or len(uses.of(normalized[0][0])) != 1:
        return None
    return conv


class _Uses(TorchDispatchMode):
    """Which operators read a tensor, and which convolution made one.

    Attributes:
        makers: arguments of the convolutions by the identity of their output.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # PyTorch's.
        self.makers: dict[int, Sequence[Any]] = {}
        self._readers: dict[int, list[Sequence[Any]]] = defaultdict(list)
        self._kept: list[Any] = []

    def of(self, tensor: torch.Tensor) -> list[Sequence[Any]]:
        """The arguments of each operator that read the tensor."""
        return self._readers[id(tensor)]

    def read(self, args: Sequence[Any], kwargs: Any = None) -> None:
        """Notes that something reads all tensors among the arguments."""
        leaves = tree_flatten((args, kwargs))[0]
        for leaf in {id(leaf) for leaf in leaves if isinstance(leaf, torch.Tensor)}:
            self._readers[leaf].append(args)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        # An identity is a tensor's only as long as that lives.
        self._kept += [args, kwargs, out]
        self.read(args, kwargs)
        if func is torch.ops.aten.convolution.default:
            self.makers[id(out)] = args
        return out
