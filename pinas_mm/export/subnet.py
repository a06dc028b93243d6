"""An architecture's stand-alone weights, cut from a trained supernet."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from mmengine.config import Config
from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.export.finite import check_finite
from pinas_mm.files import file_sha256, write_output
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.operations.norms import unsynchronized
from pinas_mm.registry import MODELS, dicts, plain, type_name
from pinas_mm.space import SearchSpace
from pinas_mm.weights.checkpoint import find_checkpoint, inner_state, read_checkpoint, state_dict
from pinas_mm.weights.initializers import PREFIX, load_subnet
from pinas_mm.weights.meta import FACTS, check_types, network_facts, said_space
from pinas_mm.weights.subnet import in_channels

SUPERNET, BACKBONE = PiNASSupernet.__name__, PiNASBackbone.__name__


def network_configs(cfg: Config) -> list[dict[str, Any]]:
    """The configs of all supernets and backbones of ours in a config's model."""
    networks = (SUPERNET, BACKBONE)
    return [part for part in dicts(cfg.get("model") or {}) if type_name(part) in networks]


def network_config(cfg: Config) -> dict[str, Any]:
    """The config of the supernet or backbone in a config's model; empty where it has none."""
    return next(iter(network_configs(cfg)), (cfg.get("model") or {}).get("backbone") or {})


def preprocessor_config(cfg: Config) -> dict[str, Any]:
    """The config of the data preprocessor of a config's model; empty where there is none."""
    model = cfg.get("model") or {}
    # A SinglePath asks its model first; the runner takes one beside a model that has none.
    for part in (model.get("model") or {}, model, cfg):
        if part.get("data_preprocessor"):
            # mmpretrain's classifiers need not name it.
            return {"type": "mmpretrain.ClsDataPreprocessor", **part["data_preprocessor"]}
    return {}


def take_facts(cfg: Config, meta: Mapping[str, Any]) -> None:
    """Gives a config's backbone what a checkpoint of all its weights says of it.

    Where the config leaves architecture or space to the file that the backbone was once initialized
    from, that need not be there.

    Args:
        cfg: changed in place.
        meta: the checkpoint's.

    Raises:
        UserError: it names a type that is not known here: nothing is imported for a file.
    """
    network = network_config(cfg)
    left_to_a_file = network.get("arch") is None or network.get("space") is None
    if type_name(network) == BACKBONE and left_to_a_file:
        known = {name: meta[name] for name in FACTS if meta.get(name) is not None}
        taken = {name: known[name] for name in known if network.get(name) is None}
        check_types(taken, "the network of the checkpoint")
        network.update(taken)


def read_space(cfg: Config) -> tuple[SearchSpace, dict[str, Any] | None]:
    """The search space of a config and its ``norm_cfg``, both of its model's network if it has one.

    Raises:
        UserError: the config has neither a space nor a network of ours, whose default it would be.
    """
    network = network_config(cfg)
    space = network.get("space") or cfg.get("space")
    if space is None and type_name(network) == SUPERNET:
        space = SearchSpace()
    elif space is None and type_name(network) == BACKBONE:
        # The file's that it is initialized from, or the paper's.
        with torch.device("meta"):
            space = MODELS.build(network).space
    if space is None:
        raise UserError(
            f"config {cfg.filename} has neither model.backbone.space nor space: give the one that "
            "the supernet was trained with"
        )
    return SearchSpace.build(plain(space)), unsynchronized(network.get("norm_cfg"))


def read_network(cfg: Config) -> dict[str, Any]:
    """What a config's stand-alone networks are built by, as arguments of :func:`subnet_of`.

    Args:
        cfg: of the supernet, or of a model with it.

    Raises:
        UserError: as :func:`read_space`'s; strides or dilations do not fit the space.
    """
    space, norm_cfg = read_space(cfg)
    network = network_config(cfg)
    strides, dilations = (plain(network.get(name)) for name in ("strides", "dilations"))
    if type_name(network) == SUPERNET:
        space, strides = without_pools(space, strides, dilations)
    return dict(space=space, norm_cfg=norm_cfg, strides=strides, dilations=dilations)


def costed(cfg: Config) -> nn.Module | SearchSpace:
    """What :func:`~pinas_mm.models.cost.count_costs` takes of a config.

    Its network, without memory, whose strides, dilations and input channels count; its space where
    it has none.

    Raises:
        UserError: as :func:`read_space`'s.
    """
    network = network_config(cfg)
    if type_name(network) not in (SUPERNET, BACKBONE):
        return read_space(cfg)[0]
    with torch.device("meta"):
        return cast(nn.Module, MODELS.build(network))


def without_pools(
    space: SearchSpace, strides: Sequence[int] | None, dilations: Sequence[int] | None
) -> tuple[SearchSpace, Sequence[int] | None]:
    """Space and strides by which a backbone computes what a supernet of these does on a path.

    Raises:
        UserError: strides or dilations do not fit the space.
    """
    placed = zip(space.blocks(strides, dilations), space.blocks(), strict=True)
    if strides is None or not any(own.strided and not spec.strided for spec, own in placed):
        return space, strides
    # Where strides take away one of the space's, a backbone keeps the pool there and a supernet has
    # none; of a space without that stride both have none.
    return dataclasses.replace(space, strides=tuple(strides)), None


def subnet_of(
    checkpoint: str | Path,
    arch: Any,
    space: SearchSpace | None = None,
    norm_cfg: dict[str, Any] | None = None,
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
) -> PiNASBackbone:
    """A stand-alone backbone with its weights from a supernet's checkpoint.

    Batch-norm statistics are the supernet's, which mix those of all paths.

    Args:
        checkpoint: a supernet's, or of a model that trains or classifies with one; a file, or a
            work dir whose last checkpoint is meant.
        arch: the architecture, in any form that :meth:`SearchSpace.arch` reads.
        space: that the supernet was trained with; None is what the checkpoint says, else the
            paper's.
        norm_cfg: config of its norm layers; None is what the checkpoint says, else BN.
        strides, dilations: of each stage; None takes the space's strides, no dilation. What fits a
            config's supernet :func:`read_network` says.

    Raises:
        UserError: the checkpoint cannot be read, is not of the space, or of other norm layers.
    """
    path = find_checkpoint(checkpoint)
    read = read_checkpoint(path)
    state, meta, source = state_dict(read), read.get("meta") or {}, f"checkpoint {path}"
    state = inner_state(state, PREFIX)
    known = said_space(meta, source) if space is None else space
    space = SearchSpace.build(known)
    norm_cfg = unsynchronized(meta.get("norm_cfg")) if norm_cfg is None else norm_cfg
    channels = in_channels(state, space)
    try:
        backbone = PiNASBackbone(arch, space, channels, strides, dilations, norm_cfg=norm_cfg)
        load_subnet(backbone, state, source, meta)
    except UserError as error:
        if known is not None:
            raise
        raise UserError(
            f"{error} (the paper's space was assumed, since the checkpoint says none: --config or "
            "space= gives its own)"
        ) from error
    return backbone.eval()


def write_subnet(
    path: str | Path,
    backbone: PiNASBackbone,
    source: str | Path,
    calibrated: int = 0,
    replace: bool = True,
) -> None:
    """Writes a backbone's weights, whole or not at all, for ``PiNASBackbone`` to load.

    The file holds ``state_dict`` and ``meta``: ``arch``, ``space``, ``in_channels``, ``norm_cfg``,
    ``source`` (name and SHA-256 of the supernet's file), ``calibration_batches`` (0: the statistics
    are the supernet's), and ``strides`` and ``dilations`` where the network has its own; plain
    values and tensors, so that ``torch.load(..., weights_only=True)`` reads it.

    Args:
        path: the file.
        backbone: the network.
        source: the supernet's checkpoint, file or work dir.
        calibrated: batches that its statistics were recomputed on.
        replace: see :func:`~pinas_mm.files.write_output`.

    Raises:
        UserError: the file cannot be written, or is the source itself; a weight is not finite.
    """
    path, source = Path(path), find_checkpoint(source)
    if path.is_dir() or (path.exists() and path.samefile(source)):
        what = "a folder" if path.is_dir() else "the supernet's checkpoint itself"
        raise UserError(f"{path} is {what}: give another name for the subnet's weights")
    write_output(path, packed_weights(backbone, backbone, source, calibrated), replace)


def packed_weights(
    module: nn.Module,
    backbone: PiNASBackbone,
    source: str | Path,
    calibrated: int,
    **facts: Any,
) -> bytes:
    """The content of a weights file that knows what it is; see :func:`write_subnet`.

    Args:
        module: whose weights.
        backbone: that the module is or has.
        source, calibrated: as for :func:`write_subnet`.
        **facts: plain values for ``meta``.

    Raises:
        UserError: a parameter or a statistic is not finite.
    """
    check_finite(module, statistics=True)
    source = find_checkpoint(source)
    meta = dict(
        network_facts(backbone),
        source=dict(file=source.name, sha256=file_sha256(source)),
        calibration_batches=calibrated,
        **facts,
    )
    state = {n: v.detach().cpu().contiguous() for n, v in module.state_dict().items()}
    buffer = io.BytesIO()
    torch.save(dict(state_dict=state, meta=meta), buffer)
    return buffer.getvalue()
