"""A whole model with one architecture, as weights and config, from the model with its supernet."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any, cast

from mmengine.config import Config
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import init_default_scope

from pinas_mm.algorithms.single_path import SinglePath
from pinas_mm.export.config_text import config_text
from pinas_mm.export.stand_alone_config import stand_alone_config
from pinas_mm.export.statistics import checked_loader, recompute_statistics, wanted_batches
from pinas_mm.export.subnet import packed_weights
from pinas_mm.export.targets import check_targets, config_files
from pinas_mm.files import whole_folder
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.registry import MODELS, type_name
from pinas_mm.weights.checkpoint import (
    check_fits,
    find_checkpoint,
    read_checkpoint,
    state_dict,
    under,
)
from pinas_mm.weights.initializers import load_subnet
from pinas_mm.weights.subnet import is_supernet


@dataclasses.dataclass(frozen=True)
class HandedOver:
    """A whole model that was written.

    Attributes:
        model: on the CPU, in evaluation mode; its SyncBN layers are plain BN.
        backbone: the model's, where the supernet was.
        weights, config: the files.
        calibrated: batches that the batch-norm statistics are of; 0: the supernet's, of all paths.
    """

    model: BaseModel
    backbone: PiNASBackbone
    weights: Path
    config: Path
    calibrated: int


def hand_over(
    folder: str | Path,
    checkpoint: str | Path,
    cfg: Config,
    arch: Any,
    batches: int | None = None,
    calibration: Config | None = None,
    force: bool = False,
) -> HandedOver:
    """Writes a trained model with one architecture in its supernet's place, to use or train on.

    A folder gets two files, named as itself. The weights file holds neck and heads as they are, the
    architecture's part of the supernet, and batch-norm statistics of all that predictions run;
    ``meta`` is :func:`~pinas_mm.export.write_subnet`'s, and has the checkpoint's ``dataset_meta``
    (classes, palette), which the libraries' inferencers look for. The config file is
    :func:`~pinas_mm.export.stand_alone_config`'s: it inherits the config's own file, says what is
    changed, and names the weights as ``load_from``, so that the folder can be moved.

    Args:
        folder: written whole or not at all.
        checkpoint: of the :class:`~pinas_mm.algorithms.SinglePath`, or of its model; a file, or a
            work dir whose last checkpoint is meant.
        cfg: of the supernet's training or search, options merged in.
        arch: the architecture, in any form that :meth:`SearchSpace.arch` reads.
        batches: to recompute the statistics on at most; None is as many as the search's (see
            :func:`~pinas_mm.export.recompute_statistics`), 0 keeps the supernet's.
        calibration: config whose images they are of; None is ``cfg``.
        force: write over an earlier model in the folder, but not over what is read.

    Raises:
        UserError: the model has no supernet in a SinglePath, the checkpoint is of another model or
            search space or of other norms, a weight is not finite, the images are not there, the
            folder cannot be written or holds something.

    Example:
        >>> cfg = Config.fromfile('fcos.py')
        >>> handed = hand_over('winner', 'work_dirs/fcos', cfg, '312')
        >>> handed.config
        PosixPath('/home/me/winner/winner.py')
    """
    calibration = calibration or cfg
    configs = [*config_files(cfg.filename), *config_files(calibration.filename)]
    check_targets([], [str(checkpoint), *configs], force, str(folder))
    config = stand_alone_config(cfg, arch)
    if wanted_batches(calibration, batches):
        checked_loader(calibration)
    source = find_checkpoint(checkpoint)
    content = read_checkpoint(source)
    meta = content.get("meta") or {}
    model, backbone = _loaded(cfg, config, state_dict(content), meta, f"checkpoint {source}")
    used = recompute_statistics(model, calibration, batches)
    known = meta.get("dataset_meta")
    classes = {"dataset_meta": known} if known else {}
    folder = Path(folder).resolve()
    weights, file = (folder / f"{folder.name}{suffix}" for suffix in (".pth", ".py"))
    config.load_from = f"{{{{ fileDirname }}}}/{weights.name}"
    if config.get("work_dir"):
        # The supernet's training lies in its own.
        config.work_dir = f"./work_dirs/{folder.name}"
    head = (
        f"# {type_name(config.model)} with architecture {backbone.arch}, out of its supernet's "
        f"{source.name}.\n"
        f"# Test: tools/test.py {file.name} {weights.name}, fine-tune: tools/train.py {file.name}\n"
        "# Data and schedule are the supernet's training's: set your own at the end.\n"
    )
    with whole_folder(folder) as work:
        (work / weights.name).write_bytes(packed_weights(model, backbone, source, used, **classes))
        (work / file.name).write_text(head + config_text(config, folder), encoding="utf-8")
    return HandedOver(model, backbone, weights, file, used)


def build_model(cfg: Config) -> BaseModel:
    """A config's model as mmengine's runner builds it, without weights."""
    init_default_scope(cfg.get("default_scope") or "mmpretrain")
    settings = copy.deepcopy(cfg.model)
    if cfg.get("data_preprocessor"):
        settings.setdefault("data_preprocessor", cfg.data_preprocessor)
    return MODELS.build(settings)


def _loaded(
    cfg: Config, config: Config, state: dict[str, Any], meta: dict[str, Any], source: str
) -> tuple[BaseModel, PiNASBackbone]:
    """The model of a stand-alone config with a supernet's weights, and its backbone.

    Args:
        cfg: of the supernet.
        config: the stand-alone one.
        state, meta: the supernet's weights, and what their file says of itself.
        source: what the messages call them.

    Raises:
        UserError: the weights are of another search space or model.
    """
    model: Any = revert_sync_batchnorm(build_model(config))
    prefixes = [f"{n}." for n, m in model.named_modules() if isinstance(m, PiNASBackbone)]
    # Another one, as a teacher's, has no candidates.
    prefix = next((p for p in prefixes if is_supernet(under(state, p))), prefixes[0])
    backbone: Any = model.get_submodule(prefix.removesuffix("."))
    load_subnet(backbone, under(state, prefix), source, meta)
    around = {k: v for k, v in state.items() if not k.startswith(prefix)}
    left_over = {_first(name) for name in around} - {_first(name) for name in model.state_dict()}
    if left_over:
        # Of the strategy, which goes: built only to know, since a supernet is large.
        own = left_over & _strategy(cfg).check_names()
        around = {k: v for k, v in around.items() if _first(k) not in own}
    check_fits(model, around | backbone.state_dict(prefix=prefix), source)
    model.load_state_dict(around, strict=False)
    return model.eval(), backbone


def _strategy(cfg: Config) -> SinglePath:
    return cast(SinglePath, build_model(cfg))


def _first(name: str) -> str:
    return name.partition(".")[0]
