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
from pinas_mm.models.network import Skeleton
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.registry import WEIGHT_INITIALIZERS
from pinas_mm.space import Arch, SearchSpace
from pinas_mm.weights.block_shape import measure
from pinas_mm.weights.checkpoint import (
    check_fits,
    find_checkpoint,
    inner_state,
    read_checkpoint,
    state_dict,
)
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
        UserError: they are a supernet's, of another space or of another architecture, or not
            whole; says what differs, of architectures the first choice block.
    """
    if is_supernet(state):
        raise UserError(
            f"{source} holds a supernet, with all candidates of each block: the architecture is "
            "cut out of it by init_cfg=dict(type='pinas_mm.FromSupernet', checkpoint=...)"
        )
    _check_space(backbone.space, meta or {}, source)
    _check_arch(backbone, state, source)
    check_fits(backbone, state, source)
    backbone.load_state_dict(state)


def load_subnet(backbone: PiNASBackbone, supernet: Mapping[str, torch.Tensor], source: str) -> None:
    """Loads a backbone's architecture from the state dict of a supernet of its search space.

    Args:
        backbone: the stand-alone network, of any strides and dilations.
        supernet: the supernet's weights.
        source: what the messages call it.

    Raises:
        UserError: the weights are not a whole supernet's of this space; says what differs.
    """
    if not is_supernet(supernet):
        raise UserError(
            f"{source} holds no supernet to cut a subnet from: its keys have no candidates, as "
            "layer1.0.2.conv1.weight has. A stand-alone network's weights load by "
            "init_cfg=dict(type='Pretrained', checkpoint=...)"
        )
    with torch.device("meta"):
        whole = PiNASSupernet(
            backbone.space, backbone.conv1[0].in_channels, norm_cfg=backbone.norm_cfg
        )
    check_fits(whole, supernet, source)
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

    Raises:
        UserError: the checkpoint cannot be read, has no such prefix or does not fit.
    """

    def __init__(
        self, checkpoint: str | Path, prefix: str | None = None, map_location: str = "cpu"
    ) -> None:
        self.checkpoint, self.prefix, self.map_location = checkpoint, prefix, map_location

    def __call__(self, module: Skeleton) -> None:
        """Loads the weights."""
        path = find_checkpoint(self.checkpoint)
        checkpoint, source = read_checkpoint(path), f"checkpoint {path}"
        state = _under(state_dict(checkpoint), self.prefix, source)
        if isinstance(module, PiNASBackbone):
            load_backbone(module, state, source, checkpoint.get("meta"))
        else:
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

    Raises:
        UserError: the checkpoint cannot be read or is not of the module's search space.
    """

    def __init__(self, checkpoint: str | Path, prefix: str = PREFIX) -> None:
        self.checkpoint, self.prefix = checkpoint, prefix

    def __call__(self, module: Skeleton) -> None:
        """Loads the weights."""
        path = find_checkpoint(self.checkpoint)
        state = inner_state(state_dict(read_checkpoint(path)), self.prefix)
        if isinstance(module, PiNASBackbone):
            load_subnet(module, state, f"checkpoint {path}")
            _tell(module, f"architecture {module.arch} of the supernet from {path}")
            return
        check_fits(module, state, f"checkpoint {path}")
        module.load_state_dict(state)
        _tell(module, f"supernet from {path}")


def _under(
    state: dict[str, torch.Tensor], prefix: str | None, source: str
) -> dict[str, torch.Tensor]:
    if prefix is None:
        return inner_state(state, PREFIX) if "conv1.0.weight" not in state else state
    prefix = prefix if prefix.endswith(".") else f"{prefix}."
    if not any(key.startswith(prefix) for key in state):
        known = sorted({key.split(".")[0] for key in state})
        raise UserError(f"{source} has no keys under {prefix}: they begin with {', '.join(known)}")
    return inner_state(state, prefix)


def _tell(module: Skeleton, text: str) -> None:
    print_log(text, logger="current")
    if hasattr(module, "_params_init_info"):  # Only while init_weights() runs.
        update_init_info(module, init_info=text)


def _check_space(space: SearchSpace, meta: Mapping[str, Any], source: str) -> None:
    """Shapes do not show strides and stem pooling, the file's own word does."""
    # A converted file's space was read off the shapes and says no more than they do.
    if "space" not in meta or "kind" in meta:
        return
    ours, theirs = space.to_dict(), SearchSpace.build(meta["space"]).to_dict()
    for part, value in ours.items():
        if theirs[part] != value:
            raise UserError(
                f"{source} is of another search space: its {part} is {theirs[part]}, not {value}; "
                "give the backbone the space that the supernet was trained with"
            )


def _check_arch(backbone: PiNASBackbone, state: Mapping[str, torch.Tensor], source: str) -> None:
    theirs, ours = _arch_of(state, backbone), backbone.arch
    if theirs is None or theirs == ours:
        return
    number = next(
        n for n, (one, other) in enumerate(zip(theirs, ours, strict=True)) if one != other
    )
    spec = list(backbone.space.blocks())[number]
    raise UserError(
        f"{source} is of architecture {theirs}, not {ours}: at block {number} (layer"
        f"{spec.stage + 1}.{spec.index}), the first that differs, it has candidate "
        f"{theirs[number]}, not {ours[number]}; set arch='{theirs}', or give another checkpoint"
    )


def _arch_of(state: Mapping[str, torch.Tensor], backbone: PiNASBackbone) -> Arch | None:
    """The architecture that shapes show; None where blocks are missing or of another space."""
    space, choices = backbone.space, []
    for spec, asked in zip(space.blocks(), backbone.arch, strict=True):
        prefix = f"layer{spec.stage + 1}.{spec.index}."
        if not {prefix + "conv1.weight", prefix + "conv2.conv.weight"} <= state.keys():
            return None
        operation = measure(state, spec.stage, prefix)
        # Two candidates of a space can be alike.
        for choice in (asked, *range(space.num_candidates)):
            if operation.is_candidate(space.candidates[choice], spec.planes):
                choices.append(choice)
                break
        else:
            return None
    return Arch(choices, space.depths)
