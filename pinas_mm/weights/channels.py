"""Weights of a network for images of another number of channels."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from pinas_mm.errors import UserError
from pinas_mm.models.network import Network

WAYS = "mean", "repeat"


def check_way(channels: str | None) -> None:
    """Raises :class:`UserError` unless it is None or one of the ways of :func:`fit_channels`."""
    if channels is not None and channels not in WAYS:
        raise UserError(f"channels is {channels!r}: allowed are None, {', '.join(WAYS)}")


def fit_channels(
    network: Network,
    state: Mapping[str, torch.Tensor],
    source: str,
    channels: str | None = None,
) -> dict[str, torch.Tensor]:
    """The weights, with the first convolution for as many channels as the network's images have.

    What it gives for an image whose channels are alike stays the same (with ``repeat`` nearly so).

    Args:
        network: that the weights are for.
        state: the weights, under the names of its own state dict.
        source: what the message calls them.
        channels: ``mean`` gives each new channel the mean of the old ones' weights, ``repeat``
            those of the old ones over and over; both scaled by old over new number.

    Raises:
        UserError: the numbers differ and ``channels`` is None.

    Where the network has no weight of the name that its skeleton says, the weights are as given.
    """
    name = network.space.skeleton.input_weight
    # A skeleton of a user's may have its stem under another name.
    weight, own = state.get(name), dict(network.named_parameters()).get(name)
    if own is None or not isinstance(weight, torch.Tensor) or weight.ndim != own.ndim:
        return dict(state)
    given, wanted = weight.shape[1], network.in_channels
    # Where more differs than the channels, it is another network.
    if given in (0, wanted) or weight[:, :1].shape != own[:, :1].shape:
        return dict(state)
    if channels is None:
        raise UserError(
            f"{source} is for images of {given} channels, the network has in_channels={wanted}: "
            f"set in_channels={given}, or have its first convolution adapted by channels='mean' or "
            "channels='repeat' in an init_cfg that loads it"
        )
    if channels == "mean":
        adapted = weight.mean(dim=1, keepdim=True).expand(-1, wanted, -1, -1)
    else:
        adapted = weight[:, torch.arange(wanted) % given]
    return {**state, name: adapted * (given / wanted)}
