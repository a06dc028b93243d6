"""Norm layers by mmcv's ``norm_cfg``, checked against the channels that they are for."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

from mmcv.cnn import build_norm_layer
from torch import nn

from pinas_mm.errors import UserError

# Of feature maps; mmcv's MMSyncBN is no batch norm to PyTorch, so that norm_eval would miss it.
NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm)


def norm_layer(norm_cfg: dict, channels: int) -> nn.Module:
    """A norm layer by mmcv's ``norm_cfg``; the caller names it, so keys do not depend on it."""
    return build_norm_layer(norm_cfg, channels)[1]


def check_norm(norm_cfg: Any, channels: Sequence[int], pooled: Sequence[int]) -> None:
    """Checks a ``norm_cfg`` before anything is built by it.

    Args:
        norm_cfg: mmcv's, of BN, SyncBN or GN.
        channels: of the norms on feature maps.
        pooled: channels of the norms on what is pooled to 1 x 1.

    Raises:
        UserError: the type is unknown or another, an argument is wrong, or GN's groups do not
            divide the channels or leave single ones where there is one pixel, which GN would turn
            into constants; says which numbers of groups are allowed.
    """
    if not isinstance(norm_cfg, dict) or "type" not in norm_cfg:
        raise UserError(f"norm_cfg is {norm_cfg!r}: give a dict with a type, BN, SyncBN or GN")
    if norm_cfg["type"] == "GN" or "num_groups" in norm_cfg:
        _check_groups(norm_cfg.get("num_groups"), channels, pooled)
    try:
        layer = norm_layer(norm_cfg, channels[0])
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0].strip("'\"")
        raise UserError(
            f"norm_cfg {dict(norm_cfg)} gives no norm layer ({reason}): allowed types are BN, "
            "SyncBN and GN, with their arguments"
        ) from error
    if not isinstance(layer, NORMS):
        raise UserError(
            f"norm_cfg {dict(norm_cfg)} gives a {type(layer).__name__}: allowed types are BN, "
            "SyncBN and GN"
        )


def _check_groups(groups: Any, channels: Sequence[int], pooled: Sequence[int]) -> None:
    common = math.gcd(*channels, *pooled)
    allowed = [n for n in range(1, min(pooled) // 2 + 1) if common % n == 0]
    integral = isinstance(groups, numbers.Integral) and not isinstance(groups, bool)
    if not integral or groups not in allowed:
        raise UserError(
            f"norm_cfg has num_groups {groups}: allowed are {', '.join(map(str, allowed))}, which "
            "divide the channels of every norm and leave split attention's at least 2 a group"
        )
