"""Norm layers by mmcv's ``norm_cfg``, checked against the channels that they are for."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS
from torch import nn

from pinas_mm.errors import UserError, reason
from pinas_mm.registry import check_known, type_name
from pinas_mm.whole_numbers import is_whole

# Of feature maps; mmcv's MMSyncBN is no batch norm to PyTorch, so that norm_eval would miss it.
NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm)
# mmcv's and PyTorch's names of what computes the same in one process.
SPELLINGS = dict.fromkeys(("BN2d", "SyncBN", "MMSyncBN", "BatchNorm2d", "SyncBatchNorm"), "BN")
SPELLINGS["GroupNorm"] = "GN"
SYNCHRONIZED = ("SyncBN", "MMSyncBN", "SyncBatchNorm")


def norm_layer(norm_cfg: dict[str, Any], channels: int, pooled: bool = False) -> nn.Module:
    """A norm layer by mmcv's ``norm_cfg``; the caller names it, so keys do not depend on it.

    Args:
        norm_cfg: mmcv's.
        channels: of what it normalizes.
        pooled: whether that is pooled to 1 x 1.
    """
    layer = build_norm_layer(norm_cfg, channels)[1]
    layer.pooled = pooled
    return layer


def unsynchronized(norm_cfg: dict[str, Any] | None) -> dict[str, Any] | None:
    """BN for SyncBN: the same weights, and what SyncBN computes in one process."""
    if norm_cfg and type_name(norm_cfg) in SYNCHRONIZED:
        return {**norm_cfg, "type": "BN"}
    return norm_cfg


def norm_facts(norm_cfg: Any) -> dict[str, Any]:
    """What a norm layer computes by: its ``type``, BN or GN, ``eps``, and GN's ``num_groups``.

    Nothing is built: it may be a file's text.

    Args:
        norm_cfg: mmcv's, of any spelling; None is BN.

    Raises:
        UserError: it is no dict with a type.
    """
    if norm_cfg is None:
        norm_cfg = dict(type="BN")
    if not isinstance(norm_cfg, Mapping) or "type" not in norm_cfg:
        raise UserError(f"norm_cfg is {norm_cfg!r}: give a dict with a type, BN, SyncBN or GN")
    kind = type_name(norm_cfg)
    facts = dict(type=SPELLINGS.get(kind, kind), eps=norm_cfg.get("eps", 1e-5))
    return facts | ({"num_groups": norm_cfg.get("num_groups")} if facts["type"] == "GN" else {})


def check_same_norm(network: Any, theirs: dict[str, Any] | None, source: str) -> None:
    """Checks that weights come to norm layers like those that they were trained with.

    No shape shows the small number under the root, nor the groups of GN.

    Args:
        network: with a ``norm_cfg``.
        theirs: that of the weights; None where nothing is known of it.
        source: what the message calls them.

    Raises:
        UserError: the same weights would compute something else, or it is no ``norm_cfg``.
    """
    # Also what mmengine makes of SyncBN in one process, which is no BatchNorm2d.
    kinds = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm)
    if theirs is None or not any(isinstance(module, kinds) for module in network.modules()):
        return
    ours, wanted = norm_facts(network.norm_cfg), norm_facts(theirs)
    if ours != wanted:
        facts = [", ".join(f"{n}={v!r}" for n, v in norm.items()) for norm in (wanted, ours)]
        raise UserError(
            f"{source} was trained with norm_cfg=dict({facts[0]}), and the network has "
            f"dict({facts[1]}): give it the same"
        )


def check_norm(norm_cfg: Any, twin: Callable[[], nn.Module]) -> None:
    """Checks a ``norm_cfg`` before a network is built by it.

    Args:
        norm_cfg: mmcv's, of BN, SyncBN or GN.
        twin: gives the same network with batch norms, to ask which channels its norms have.

    Raises:
        UserError: the type is unknown or another, an argument is wrong, or GN's groups do not
            divide the channels or leave single ones where there is one pixel, which GN would turn
            into constants; says which numbers of groups are allowed.
    """
    if not isinstance(norm_cfg, dict) or "type" not in norm_cfg:
        raise UserError(f"norm_cfg is {norm_cfg!r}: give a dict with a type, BN, SyncBN or GN")
    if norm_cfg["type"] == "GN" or "num_groups" in norm_cfg:
        norms = [m for m in twin().modules() if isinstance(m, nn.BatchNorm2d)]
        _check_groups(norm_cfg.get("num_groups"), norms)
    try:
        check_known(norm_cfg, "norm_cfg")
        # Before it is built: a file may say it, and any class's name.
        kind = _norm_class(norm_cfg["type"])
        if not inspect.isclass(kind) or issubclass(kind, NORMS):
            # Any number of channels will do that all allowed numbers of groups divide.
            kind = type(norm_layer(norm_cfg, norm_cfg.get("num_groups") or 1))
    except (UserError, KeyError, TypeError, ValueError, RuntimeError) as error:
        # A RuntimeError is of one that wants ranks.
        said = reason(error).strip("'\"")
        raise UserError(
            f"norm_cfg {dict(norm_cfg)} gives no norm layer ({said}): allowed types are BN, "
            "SyncBN and GN, with their arguments"
        ) from error
    if not issubclass(kind, NORMS):
        raise UserError(
            f"norm_cfg {dict(norm_cfg)} gives a {kind.__name__}: allowed types are BN, "
            "SyncBN and GN"
        )


def _norm_class(kind: Any) -> Any:
    """The class that mmcv builds for a norm's type."""
    if not isinstance(kind, str):
        return kind
    with MODELS.switch_scope_and_registry(None) as registry:
        return registry.get(kind)


def _check_groups(groups: Any, norms: Sequence[nn.BatchNorm2d]) -> None:
    if not norms:  # As in ConvNeXt, where nothing is built by it.
        return
    common = math.gcd(*(norm.num_features for norm in norms))
    # One channel of one pixel is its own mean. Norms of a library's module do not say.
    pooled = [norm for norm in norms if getattr(norm, "pooled", False)]
    most = min((norm.num_features // 2 for norm in pooled), default=common)
    allowed = [n for n in range(1, most + 1) if common % n == 0]
    if not is_whole(groups) or groups not in allowed:
        raise UserError(
            f"norm_cfg has num_groups {groups}: allowed are {', '.join(map(str, allowed))}, which "
            "divide the channels of every norm and leave those of pooled ones at least 2 a group"
        )
