"""What the tools do, from Python: training, loading, exporting; ``pinas_mm.search`` searches."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path
from typing import Any, cast

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from torch import nn

from pinas_mm.engine.checkpoints import last_of
from pinas_mm.engine.config import link_space, read_config, usual_work_dir
from pinas_mm.engine.launch import build_runner, use_resume
from pinas_mm.engine.preflight import held_within
from pinas_mm.engine.run_search import search_loaders
from pinas_mm.engine.runner_parts import unwrapped
from pinas_mm.errors import UserError
from pinas_mm.export import (
    check_targets,
    read_network,
    recompute_statistics,
    subnet_of,
    write_subnet,
)
from pinas_mm.export.subnet import take_facts
from pinas_mm.export.whole_model import build_model
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.models.network import Network
from pinas_mm.weights.checkpoint import check_fits, find_checkpoint, read_checkpoint, state_dict
from pinas_mm.weights.meta import check_meta


def train(
    config: str | Path | Config, work_dir: str | Path | None = None, resume: bool = False
) -> nn.Module:
    """Trains as ``tools/train.py`` does, in this process.

    Args:
        config: a file, as :func:`pinas_mm.read_config` takes it, or what it returned.
        work_dir: where logs and checkpoints go; None is the config's, else
            ``work_dirs/<the config's name>``.
        resume: go on from the work dir's last good checkpoint, if it has one.

    Returns:
        The trained model, on its device. Its ``cfg`` is the config with the model's last checkpoint
        as ``load_from``, None where there is none on this machine; :func:`pinas_mm.search` and
        :func:`pinas_mm.export_subnet` read it.

    Raises:
        UserError: anything that the user can mend, before the first step.

    Example:
        >>> model = pinas_mm.train('configs/demo/digits_supernet.py', 'work_dirs/supernet')
    """
    cfg = _copied(config)
    cfg.work_dir = str(work_dir or usual_work_dir(cfg))
    with held_within():  # A notebook's process lives on.
        if resume:
            use_resume(cfg, "auto")
        runner = build_runner(copy.deepcopy(cfg))
        runner.train()
    last = None
    with contextlib.suppress(UserError):  # What is trained is not lost for a file.
        last = last_of(cfg)
    return _with_config(unwrapped(runner.model), cfg, last)


def init_model(config: str | Path | Config, checkpoint: str | Path) -> nn.Module:
    """The model of a config with the weights of its training, as mmseg's function of this name.

    Args:
        config: as for :func:`train`.
        checkpoint: a file, or a work dir whose last good checkpoint is meant.

    Returns:
        The model in evaluation mode, on the GPU if there is one, with ``cfg`` as :func:`train`'s.

    Raises:
        UserError: there is no such config or checkpoint, or one does not fit the other.

    Example:
        >>> model = pinas_mm.init_model('configs/demo/digits_search.py', 'work_dirs/digits_linear')
    """
    cfg, path = _copied(config), find_checkpoint(checkpoint)
    content = read_checkpoint(path)
    meta = content.get("meta") or {}
    take_facts(cfg, meta)
    model: nn.Module = build_model(cfg)
    if not torch.cuda.is_available():
        model = revert_sync_batchnorm(model)
    state, source = state_dict(content), f"checkpoint {path}"
    if isinstance(network := getattr(model, "backbone", None), Network):
        check_meta(network, meta, source)
    check_fits(model, state, source)
    model.load_state_dict(state)
    return _with_config(model.to(get_device()).eval(), cfg, path)


def export_subnet(
    model: nn.Module,
    arch: Any,
    out: str | Path | None = None,
    batches: int | None = None,
    force: bool = False,
) -> PiNASBackbone:
    """Cuts an architecture out of a supernet, as ``tools/export.py`` does.

    Args:
        model: of :func:`train` or :func:`init_model`; the weights are those of its checkpoint.
        arch: the architecture, in any form that :meth:`SearchSpace.arch` reads.
        out: file for the weights; None writes none.
        batches: of training images for batch-norm statistics of its own; None is as many as the
            search's, else 49; 0 keeps the supernet's, which mix all paths.
        force: write over ``out``.

    Returns:
        The network in evaluation mode.

    Raises:
        UserError: the architecture is none of the space, images are not there, or the file is.

    Example:
        >>> winner = pinas_mm.export_subnet(model, findings.best(1)[0], 'winner.pth')
    """
    cfg = getattr(model, "cfg", None)
    if cfg is None:
        raise UserError(
            "the model has no cfg, which says where its checkpoint and its images are: take it "
            "from pinas_mm.train or pinas_mm.init_model"
        )
    if not cfg.get("load_from"):
        raise UserError(
            "the model's training left no checkpoint to cut from: let default_hooks.checkpoint "
            "write one to this machine, and train again"
        )
    if out is not None:
        check_targets([str(out)], [cfg.load_from], force)
    backbone = subnet_of(cfg.load_from, arch, **read_network(cfg))
    used = recompute_statistics(backbone, cfg, batches)
    if out is not None:
        write_subnet(out, backbone, cfg.load_from, used, force)
    return backbone


def _copied(config: str | Path | Config) -> Config:
    if not isinstance(config, Config):
        return read_config(config)
    cfg = copy.deepcopy(config)
    # mmengine's own reading leaves the space where it was said.
    link_space(cfg)
    return cfg


def _with_config(model: nn.Module, cfg: Config, checkpoint: Path | None) -> nn.Module:
    """A model that knows its config, as the libraries' own functions leave it."""
    cfg.load_from = str(checkpoint.resolve()) if checkpoint else None
    if cfg.get("search"):
        cfg.search = {**cfg.search, **search_loaders(cfg)}
    cast(Any, model).cfg = cfg
    return model
