"""An architecture's stand-alone weights, cut from a trained supernet."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed

from pinas_mm.checkpoint import find_checkpoint, inner_state, read_checkpoint, state_dict
from pinas_mm.engine.atomic_backend import write_atomically
from pinas_mm.engine.launch import check_data
from pinas_mm.errors import UserError
from pinas_mm.initializers import load_subnet
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.models.batch_norm import Statistics
from pinas_mm.registry import MODELS
from pinas_mm.space import SearchSpace

PREFIX = "backbone."


@dataclasses.dataclass(frozen=True)
class Found:
    """An entry of a search's ``best.json``.

    Attributes:
        arch: the architecture, in text form.
        space: the search space.
        checkpoint: of the supernet, as the search was given it; may be empty.
    """

    arch: str
    space: SearchSpace
    checkpoint: str


def read_best(path: str | Path, rank: int = 1) -> Found:
    """The architecture of a rank in a search's ``best.json``.

    Args:
        path: the search's work dir, or the file.
        rank: from 1, the best.

    Raises:
        UserError: there is no such file or rank, or the file is damaged.
    """
    path = Path(path)
    path = path / "best.json" if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the work dir of a finished search")
    try:
        content = json.loads(path.read_bytes())
        archs = {entry["rank"]: str(entry["arch"]) for entry in content["best"]}
        space, checkpoint = SearchSpace.build(content["space"]), str(content["checkpoint"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged or not a search's ({error!r}): search again in that work dir, "
            "which writes it anew"
        ) from error
    if rank not in archs:
        raise UserError(f"{path} has no rank {rank}: allowed are 1 to {len(archs)}")
    return Found(archs[rank], space, checkpoint)


def read_space(cfg: Config) -> tuple[SearchSpace, dict[str, Any] | None]:
    """The search space of a config and its ``norm_cfg``, both of ``model.backbone`` if it has one.

    Raises:
        UserError: the config has no space.
    """
    backbone = (cfg.get("model") or {}).get("backbone") or {}
    space = backbone.get("space") or cfg.get("space")
    if space is None:
        raise UserError(
            f"config {cfg.filename} has neither model.backbone.space nor space: give the one that "
            "the supernet was trained with"
        )
    plain = space.to_dict() if hasattr(space, "to_dict") else space
    norm_cfg = backbone.get("norm_cfg")
    if norm_cfg and norm_cfg.get("type") in ("SyncBN", "MMSyncBN"):
        # The same weights; in one process, and on the CPU, plain BN is what it computes.
        norm_cfg = {**norm_cfg, "type": "BN"}
    return SearchSpace.build(plain), norm_cfg


def subnet_of(
    checkpoint: str | Path,
    arch: Any,
    space: SearchSpace | None = None,
    norm_cfg: dict[str, Any] | None = None,
) -> PiNASBackbone:
    """A stand-alone backbone with its weights from a supernet's checkpoint.

    Batch-norm statistics are the supernet's, which mix those of all paths.

    Args:
        checkpoint: a supernet's, or of a model that trains or classifies with one; a file, or a
            work dir whose last checkpoint is meant.
        arch: the architecture, in any form that :meth:`SearchSpace.arch` reads.
        space: that the supernet was trained with; None is the paper's.
        norm_cfg: config of its norm layers; None is BN.

    Raises:
        UserError: the checkpoint cannot be read or is not of the space.
    """
    path = find_checkpoint(checkpoint)
    state = inner_state(state_dict(read_checkpoint(path)), PREFIX)
    stem = state.get("conv1.0.weight")
    in_channels = stem.shape[1] if stem is not None and stem.ndim == 4 else 3
    backbone = PiNASBackbone(arch, space, in_channels, norm_cfg=norm_cfg)
    load_subnet(backbone, state, f"checkpoint {path}")
    return backbone.eval()


def recompute_statistics(
    backbone: PiNASBackbone, cfg: Config, batches: int = 49, seed: int = 0
) -> int:
    """Gives a backbone the batch-norm statistics of training images, on the GPU if there is one.

    Images come from the config's ``calibration_dataloader``, that of its ``search`` or validation
    loop, or its ``train_dataloader``, in this order, and pass the model's data preprocessor as in
    evaluation, unaugmented. All random numbers of the process are seeded.

    Args:
        backbone: is left in evaluation mode, on its device.
        cfg: config of the supernet, its classifier or its search.
        batches: how many to use at most; they weigh equally, batches of one image are left out.
        seed: of the images' order and crops.

    Returns:
        How many batches were used.

    Raises:
        UserError: the config has no such loader, its data are not there, or there is no batch.
    """
    if batches < 1:
        raise UserError(f"{batches} batches for the statistics: at least 1 is allowed")
    loader = _calibration_loader(cfg)
    check_data("calibration", loader)
    init_default_scope(cfg.get("default_scope") or "mmpretrain")
    set_random_seed(seed)
    device, home = torch.device(get_device()), next(backbone.parameters()).device
    preprocessor = cfg.model.get("data_preprocessor") or dict(type="BaseDataPreprocessor")
    preprocessor = MODELS.build(preprocessor).to(device)
    loaded = Runner.build_dataloader(loader, seed=seed)
    backbone.to(device).eval()
    used = 0

    def images() -> Iterator[torch.Tensor]:
        nonlocal used
        for _, data in zip(range(batches), loaded, strict=False):
            inputs = preprocessor(data, False)["inputs"]
            # Crops of the same images, where the pipeline makes several.
            crops = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            if len(crops[0]) > 1:
                used += 1
                yield from crops

    statistics = Statistics(backbone, backbone, images())
    if not used:
        raise UserError(
            "there is no batch of at least 2 images to recompute statistics on: raise the "
            "calibration loader's batch_size"
        )
    statistics.write()
    backbone.to(home)
    return used


def write_subnet(
    path: str | Path, backbone: PiNASBackbone, source: str | Path, calibrated: int = 0
) -> None:
    """Writes a backbone's weights, whole or not at all, for ``PiNASBackbone`` to load.

    The file holds ``state_dict`` and ``meta``: ``arch``, ``space``, ``source`` (name and SHA-256 of
    the supernet's file), ``calibration_batches`` (0: the statistics are the supernet's); plain
    values and tensors, so that ``torch.load(..., weights_only=True)`` reads it.

    Args:
        path: the file.
        backbone: the network.
        source: the supernet's checkpoint, file or work dir.
        calibrated: batches that its statistics were recomputed on.

    Raises:
        UserError: the file cannot be written, or is the source itself.
    """
    path, source = Path(path), find_checkpoint(source)
    if path.is_dir() or (path.exists() and path.samefile(source)):
        what = "a folder" if path.is_dir() else "the supernet's checkpoint itself"
        raise UserError(f"{path} is {what}: give another name for the subnet's weights")
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    meta = dict(
        arch=str(backbone.arch),
        space=backbone.space.to_dict(),
        source=dict(file=source.name, sha256=digest),
        calibration_batches=calibrated,
    )
    state = {n: v.detach().cpu().contiguous() for n, v in backbone.state_dict().items()}
    buffer = io.BytesIO()
    torch.save(dict(state_dict=state, meta=meta), buffer)
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def _calibration_loader(cfg: Config) -> dict[str, Any]:
    for place in (cfg, cfg.get("search") or {}, cfg.get("val_cfg") or {}):
        if place.get("calibration_dataloader"):
            return place["calibration_dataloader"]
    if cfg.get("train_dataloader") and cfg.get("model"):
        return cfg.train_dataloader
    raise UserError(
        f"config {cfg.filename} has no calibration_dataloader and no train_dataloader: give the "
        "supernet's, its classifier's or its search's"
    )
