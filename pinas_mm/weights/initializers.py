"""Weights of a checkpoint for a backbone or supernet: all that it needs, or an error.

Importing this registers the initializers for ``init_cfg``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import update_init_info

from pinas_mm.errors import UserError
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.models.network import Network
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.operations.norms import unsynchronized
from pinas_mm.registry import WEIGHT_INITIALIZERS
from pinas_mm.space import Arch
from pinas_mm.weights.channels import check_way, fit_channels
from pinas_mm.weights.checkpoint import (
    check_fits,
    find_checkpoint,
    inner_state,
    read_checkpoint,
    state_dict,
    under,
)
from pinas_mm.weights.meta import PLACED, check_arch, check_meta, said_space
from pinas_mm.weights.subnet import is_supernet, subnet_state

PREFIX = "backbone."


def load_backbone(
    backbone: PiNASBackbone,
    state: Mapping[str, torch.Tensor],
    source: str,
    meta: Mapping[str, Any] | None = None,
) -> None:
    """Loads a stand-alone network's weights, of the same architecture and search space.

    Args:
        backbone: the network, of any strides and dilations.
        state: the weights, under the names of its own state dict.
        source: what the messages call them.
        meta: what their file says of itself.

    Raises:
        UserError: they are a supernet's, of another space or of another architecture, of other
            norms, for images of another number of channels, or not whole; says what differs, of
            architectures the first choice block.
    """
    if is_supernet(state):
        raise UserError(
            f"{source} holds a supernet, with all candidates of each block: the architecture is "
            "cut out of it by init_cfg=dict(type='pinas_mm.FromSupernet', checkpoint=...)"
        )
    fit_channels(backbone, state, source)
    check_meta(backbone, meta, source)
    try:
        check_fits(backbone, state, source)
    except UserError:
        check_arch(backbone, _shown_arch(backbone, state), source)
        raise
    backbone.load_state_dict(state)


def load_subnet(
    backbone: PiNASBackbone,
    supernet: Mapping[str, torch.Tensor],
    source: str,
    meta: Mapping[str, Any] | None = None,
) -> None:
    """Loads a backbone's architecture from the state dict of a supernet of its search space.

    Args:
        backbone: the stand-alone network, of any strides and dilations.
        supernet: the supernet's weights.
        source: what the messages call it.
        meta: what their file says of itself.

    Raises:
        UserError: the weights are not a whole supernet's of this space, or of other norms; says
            what differs.
    """
    if not is_supernet(supernet):
        raise UserError(
            f"{source} holds no supernet to cut a subnet from: its keys have no candidates, as "
            "layer1.0.2.conv1.weight has. A stand-alone network's weights load by "
            "init_cfg=dict(type='Pretrained', checkpoint=...)"
        )
    check_meta(backbone, meta, source)
    check_fits(_supernet_of(backbone), supernet, source)
    backbone.load_state_dict(subnet_state(supernet, backbone.arch, backbone.space))


@WEIGHT_INITIALIZERS.register_module()
class Pretrained:
    """mmengine's ``Pretrained``, but strict: a checkpoint that does not fit is an error.

    It is what ``init_cfg=dict(type='Pretrained', checkpoint=...)`` of a
    :class:`~pinas_mm.models.PiNASBackbone` or :class:`~pinas_mm.models.PiNASSupernet` means.

    Args:
        checkpoint: a file, a work dir whose last checkpoint is meant, or an http(s) address; read
            without running code from it.
        prefix: of the weights' keys in it, ``'backbone.'`` in a whole model's; None takes bare
            keys, and those under ``backbone.`` where there are such.
        map_location: mmengine's; reading is always on the CPU.
        channels: ``mean`` or ``repeat`` adapts the first convolution to the network's
            ``in_channels`` (see :func:`~pinas_mm.weights.channels.fit_channels`); None refuses
            another number.

    Raises:
        UserError: the checkpoint cannot be read, has no such prefix or does not fit.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        prefix: str | None = None,
        map_location: str = "cpu",
        channels: str | None = None,
    ) -> None:
        check_way(channels)
        self.checkpoint, self.prefix, self.map_location = checkpoint, prefix, map_location
        self.channels = channels

    def describe(self) -> dict[str, Any]:
        """What the file says of the network: ``arch``, ``space``, ``norm_cfg``, ``strides`` and
        ``dilations`` of its own, and ``in_channels``, unless they are to be adapted.
        """
        channels = () if self.channels else ("in_channels",)
        return _described(self.checkpoint, "arch", "space", "norm_cfg", *PLACED, *channels)

    def __call__(self, module: Network) -> None:
        """Loads the weights."""
        path = find_checkpoint(self.checkpoint)
        checkpoint, source = read_checkpoint(path), f"checkpoint {path}"
        state = _asked_for(state_dict(checkpoint), self.prefix, source)
        state = fit_channels(module, state, source, self.channels)
        meta = checkpoint.get("meta") or {}
        if isinstance(module, PiNASBackbone):
            load_backbone(module, state, source, meta)
        else:
            check_meta(module, meta, source)
            check_fits(module, state, source)
            module.load_state_dict(state)
        _tell(module, f"weights from {path}")


@WEIGHT_INITIALIZERS.register_module()
class FromSupernet:
    """Initializes from a checkpoint of this package that contains a supernet.

    For ``init_cfg=dict(type='pinas_mm.FromSupernet', checkpoint=...)`` of a supernet, or of a
    stand-alone backbone, which takes its architecture's part.

    Args:
        checkpoint: a file, a work dir whose last checkpoint is meant, or an http(s) address.
        prefix: of the supernet's keys in it; a checkpoint without such keys is taken as the
            supernet's own.
        channels: as for :class:`Pretrained`.

    Raises:
        UserError: the checkpoint cannot be read or is not of the module's search space.
    """

    def __init__(
        self, checkpoint: str | Path, prefix: str = PREFIX, channels: str | None = None
    ) -> None:
        check_way(channels)
        self.checkpoint, self.prefix, self.channels = checkpoint, prefix, channels

    def describe(self) -> dict[str, Any]:
        """What the file says of the supernet: ``space``, ``norm_cfg``, and ``in_channels``, unless
        they are to be adapted.
        """
        channels = () if self.channels else ("in_channels",)
        return _described(self.checkpoint, "space", "norm_cfg", *channels)

    def __call__(self, module: Network) -> None:
        """Loads the weights."""
        path = find_checkpoint(self.checkpoint)
        checkpoint, source = read_checkpoint(path), f"checkpoint {path}"
        state = inner_state(state_dict(checkpoint), self.prefix)
        state = fit_channels(module, state, source, self.channels)
        meta = checkpoint.get("meta") or {}
        if isinstance(module, PiNASBackbone):
            load_subnet(module, state, source, meta)
            _tell(module, f"architecture {module.arch} of the supernet from {path}")
            return
        check_meta(module, meta, source)
        check_fits(module, state, source)
        module.load_state_dict(state)
        _tell(module, f"supernet from {path}")


def _asked_for(
    state: dict[str, torch.Tensor], prefix: str | None, source: str
) -> dict[str, torch.Tensor]:
    if prefix is None:
        bare = any(key.startswith("layer1.") for key in state)
        return state if bare else inner_state(state, PREFIX)
    prefix = prefix if prefix.endswith(".") else f"{prefix}."
    inner = under(state, prefix)
    if not inner:
        known = sorted({key.split(".")[0] for key in state})
        raise UserError(f"{source} has no keys under {prefix}: they begin with {', '.join(known)}")
    return inner


def _tell(module: Network, text: str) -> None:
    print_log(text, logger="current")
    if hasattr(module, "_params_init_info"):  # Only while init_weights() runs.
        update_init_info(module, init_info=text)


def _shown_arch(backbone: PiNASBackbone, state: Mapping[str, torch.Tensor]) -> Arch | None:
    """The architecture that shapes show; None where blocks are missing or of another space."""
    shapes = {name: value.shape for name, value in state.items()}
    wanted = {name: value.shape for name, value in _supernet_of(backbone).state_dict().items()}
    choices = []
    for spec, asked, allowed in zip(
        backbone.specs, backbone.arch, backbone.space.mask, strict=True
    ):
        block = under(shapes, f"{spec.name}.")
        # Two candidates of a space can be alike.
        for choice in (asked, *allowed.nonzero()[0].tolist()):
            if under(wanted, f"{spec.name}.{choice}.") == block:
                choices.append(choice)
                break
        else:
            return None
    return Arch(choices, backbone.space.depths)


def _supernet_of(backbone: PiNASBackbone) -> PiNASSupernet:
    """The supernet that a backbone can come from, without memory."""
    with torch.device("meta"):
        return PiNASSupernet(backbone.space, backbone.in_channels, norm_cfg=backbone.norm_cfg)


def _described(checkpoint: str | Path, *names: str) -> dict[str, Any]:
    meta = read_checkpoint(checkpoint, mmap=True).get("meta") or {}
    said_space(meta, f"checkpoint {checkpoint}")
    known = {name: meta[name] for name in names if meta.get(name) is not None}
    if "norm_cfg" in known:
        known["norm_cfg"] = unsynchronized(known["norm_cfg"])
    return known
