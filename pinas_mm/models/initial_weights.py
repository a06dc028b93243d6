"""The weights that a network starts with: drawn, a part's own, or loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from mmengine.model import initialize
from torch import nn

from pinas_mm.errors import UserError

if TYPE_CHECKING:
    from pinas_mm.models.network import Network

DEFAULT_INIT = (
    dict(type="Kaiming", layer="Conv2d"),
    dict(type="Constant", layer=["_BatchNorm", "GroupNorm"], val=1),
)
# Initializers that load, by the name of their type or class: mmengine's takes what fits and goes
# on, ours all or nothing.
LOADERS = {
    "Pretrained": "pinas_mm.Pretrained",
    "PretrainedInit": "pinas_mm.Pretrained",
    "FromSupernet": "pinas_mm.FromSupernet",
}


def start(network: Network) -> None:
    """Gives a network the weights that it starts with.

    First its ``init_cfg`` draws. Then modules that initialize themselves do, wherever in the
    network they stand, then blocks become their shortcuts where the network says so. Drawing and
    zeroing leave what was built not to learn: a filter's weights, those of norms with
    ``requires_grad=False``. What is loaded comes last and is kept.

    Args:
        network: its weights change in place.

    Raises:
        UserError: what is to be loaded cannot be read or does not fit.
    """
    cfgs = strict_init(network.init_cfg or [])
    with _fixed_kept(network):
        initialize(network, [cfg for cfg in cfgs if not loader_type(cfg)])
    for module in _initializing(network):
        module.init_weights()
    with _fixed_kept(network):
        for module in network.modules() if network.zero_init_last else ():
            if hasattr(module, "zero_residual"):
                cast(Any, module).zero_residual()
    initialize(network, [cfg for cfg in cfgs if loader_type(cfg)])


def strict_init(init_cfg: dict[str, Any] | Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """With our initializers for those that load; they come last and win, as mmengine has it.

    Raises:
        UserError: one has no type, or one that loads no checkpoint.
    """
    cfgs = [init_cfg] if isinstance(init_cfg, (dict, str)) else init_cfg
    loads = [dict(cfg, type=kind) for cfg in cfgs if (kind := loader_type(cfg))]
    for cfg in loads:
        if cfg.get("checkpoint") is None:
            raise UserError(
                f"model.backbone.init_cfg is {cfg}, without a checkpoint: give a .pth file, a work "
                "dir or an address as checkpoint="
            )
    return [*(dict(cfg) for cfg in cfgs if not loader_type(cfg)), *loads]


def loader_type(cfg: dict[str, Any]) -> str | None:
    """The type in LOADERS for an init_cfg that loads weights, whose own type is a text under any
    scope or a class; None for one that draws them.

    Raises:
        UserError: it has no type.
    """
    if not isinstance(cfg, dict) or not cfg.get("type"):
        raise UserError(
            f"init_cfg is {cfg!r}: give a dict with a type, as "
            "model.backbone.init_cfg=dict(type='Pretrained', checkpoint='winner.pth')"
        )
    kind = cfg["type"]
    return LOADERS.get(kind.rpartition(".")[2] if isinstance(kind, str) else kind.__name__)


@contextlib.contextmanager
def _fixed_kept(network: Network) -> Iterator[None]:
    """Afterwards a network's fixed weights are what they were.

    At zero a norm's would stay there, and with it all that it scales.
    """
    fixed = [(p, p.detach().clone()) for n, p in network.named_parameters() if n in network.fixed]
    yield
    with torch.no_grad():
        for parameter, value in fixed:
            parameter.copy_(value)


def _initializing(module: nn.Module) -> Iterator[Any]:
    """The outermost modules within one that initialize themselves and have not done so yet.

    mmengine asks no further than children; here operations stand in lists and choice blocks.
    """
    for child in module.children():
        if not hasattr(child, "init_weights"):
            yield from _initializing(child)
        elif not getattr(child, "is_init", False):
            yield child
