"""From a config and command-line options to a runner that is ready to go."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import all_gather_object, get_world_size, init_dist
from mmengine.logging import MessageHub, print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from torch import distributed

from pinas_mm.algorithms.base import SupernetAlgorithm
from pinas_mm.compat import fast_bfloat16
from pinas_mm.data.annotations import check_data_sets
from pinas_mm.ending import process_rank
from pinas_mm.engine.batches import check_loaders
from pinas_mm.engine.checkpoints import folders, last_of
from pinas_mm.engine.mixed_precision import BFLOAT16
from pinas_mm.engine.preflight import check_run
from pinas_mm.engine.resume import go_on, prepare
from pinas_mm.errors import UserError
from pinas_mm.files import check_writable, remove_left_over
from pinas_mm.machine import usable_cores
from pinas_mm.registry import MODELS, dicts, type_name
from pinas_mm.weights.checkpoint import find_checkpoint, read_checkpoint

PLAIN = "MMDistributedDataParallel"
AMP = "AmpOptimWrapper"


def use_amp(cfg: Config) -> None:
    """Turns on mixed precision.

    Raises:
        UserError: the config's optimizer wrapper is no ``OptimWrapper`` or ``AmpOptimWrapper``.
    """
    kind = type_name({"type": "OptimWrapper", **cfg.get("optim_wrapper", {})})
    if kind not in ("OptimWrapper", AMP):
        raise UserError(f"--amp cannot change a {kind}: set it in the config")
    cfg.optim_wrapper.type = AMP
    cfg.optim_wrapper.setdefault("loss_scale", "dynamic")


def use_auto_scale_lr(cfg: Config) -> None:
    """Turns on scaling of the learning rate with the batch size.

    Raises:
        UserError: the config has no ``auto_scale_lr.base_batch_size``.
    """
    if "base_batch_size" not in cfg.get("auto_scale_lr", {}):
        raise UserError(
            "--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config"
        )
    cfg.auto_scale_lr.enable = True


def use_resume(cfg: Config, resume: str) -> None:
    """Goes on from a checkpoint, or from the work dir's last good one (``auto``) if any."""
    last = last_of(cfg) if resume == "auto" else find_checkpoint(resume)
    # With nothing to go on from, mmengine would look for something by itself.
    cfg.resume = last is not None
    if last:
        cfg.load_from = str(last)
    else:
        _notice(f"nothing to resume in {cfg.work_dir}: starting from the beginning")


def use_tta(cfg: Config) -> None:
    """Turns on test-time augmentation, as the test tools of mmseg and mmdet do.

    Raises:
        UserError: the config does not say how to augment and how to merge predictions.
    """
    missing = [name for name in ("tta_model", "tta_pipeline") if name not in cfg]
    if missing:
        raise UserError(
            f"--tta needs {' and '.join(missing)} in the config: see configs/_base_/ade20k.py, or "
            "test without it"
        )
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    for dataset in dicts(cfg.test_dataloader.dataset):
        if "pipeline" in dataset:
            dataset["pipeline"] = cfg.tta_pipeline


def use_show_dir(cfg: Config, folder: str | Path) -> None:
    """Has every test image drawn with its prediction (:class:`~pinas_mm.engine.PicturesHook`).

    Args:
        cfg: config of mmpretrain, mmdet or mmseg; changed in place.
        folder: where the pictures go.

    Raises:
        UserError: the config tests something else than a network's predictions for images, or the
            folder cannot be written.
    """
    check_writable(Path(folder), "--show-dir")
    libraries = "mmpretrain", "mmdet", "mmseg"
    scope, loop = (
        cfg.get("default_scope"),
        type_name({"type": "TestLoop", **(cfg.get("test_cfg") or {})}),
    )
    if scope not in libraries or loop != "TestLoop" or not cfg.get("visualizer"):
        raise UserError(
            f"--show-dir draws predictions of {', '.join(libraries)}; this config has "
            f"default_scope {scope}, is tested by {loop} and has "
            f"{'a' if cfg.get('visualizer') else 'no'} visualizer"
        )
    _add_hook(cfg, "pinas_mm.PicturesHook", folder=str(folder))


def build_runner(cfg: Config, splits: Sequence[str] = ("train", "val")) -> Runner:
    """A runner for this machine; checks the input before anything is written.

    Args:
        cfg: the config; it is changed to suit the machine.
        splits: whose data must be there: train, val, test.

    Raises:
        UserError: data, annotations or checkpoint are missing or broken, or the sets too small;
            processes would go on from different checkpoints.
    """
    check_data_sets(cast(Any, cfg), splits)
    cfg.resume = bool(cfg.get("resume")) and "train" in splits
    if cfg.resume and not cfg.get("load_from"):
        use_resume(cfg, "auto")
    checkpoint = None
    if cfg.get("load_from"):
        path = find_checkpoint(cfg.load_from)
        checkpoint = read_checkpoint(path, mmap=True)
        cfg.load_from = str(path)
        prepare(cfg, checkpoint, trains="train" in splits)
    check_run(cfg, trains="train" in splits)
    kind = (cfg.get("model") or {}).get("type")
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    if inspect.isclass(kind) and issubclass(kind, SupernetAlgorithm):
        # A step leaves parameters unused, which mmengine's default wrapper does not expect.
        wrapper = _wrapper(cfg)
        if type_name({"type": PLAIN, **wrapper}) == PLAIN:
            wrapper.type = "pinas_mm.PathDataParallel"
    _add_hook(cfg, "pinas_mm.SafeCheckpointHook")
    _add_hook(cfg, "pinas_mm.LastValidationHook")
    _add_hook(cfg, "pinas_mm.FirstStepHook")
    _add_hook(cfg, "pinas_mm.BestMetricHook")
    _add_hook(cfg, "pinas_mm.AverageOnceHook")
    if type_name(cfg.get("optim_wrapper") or {}) == AMP:
        cfg.optim_wrapper.type = f"pinas_mm.{AMP}"
    _tell_workers(cfg, splits)
    _choose_port(cfg)
    if not torch.cuda.is_available():
        _for_cpu(cfg)
    if "train" in splits:
        _join_process_group(cfg)
        _check_same_start(cfg, checkpoint)
    if "train" in splits and not process_rank():
        for folder in folders(cfg):
            remove_left_over(folder)
    runner_type: Any = RUNNERS.get(cfg.runner_type) if "runner_type" in cfg else Runner
    runner = runner_type.from_cfg(cfg)
    if checkpoint and cfg.resume:
        go_on(runner, checkpoint["meta"])
    check_loaders(runner, splits)
    return runner


def what_training_keeps() -> str:
    """What an interrupted training has on disk, and how to go on."""
    last = MessageHub.get_current_instance().runtime_info.get("last_ckpt")
    if last is None:
        return "no checkpoint was due yet; the same command begins anew"
    return f"all until {last} is kept; the same command goes on from there with --resume"


def _add_hook(cfg: Config, name: str, **options: Any) -> None:
    hooks = cfg.get("custom_hooks") or []
    bare = name.removeprefix("pinas_mm.")
    if bare not in [type_name(hook) for hook in hooks]:
        cfg.custom_hooks = [*hooks, ConfigDict(type=name, **options)]


def _wrapper(cfg: Config, **usual: Any) -> ConfigDict:
    """The config of the distributed wrapper, to be changed; None is as good as none."""
    if cfg.get("model_wrapper_cfg") is None:
        cfg.model_wrapper_cfg = ConfigDict(usual)
    return cfg.model_wrapper_cfg


def _for_cpu(cfg: Config) -> None:
    """What a CPU cannot do is replaced, with one line of notice each."""
    if cfg.get("launcher", "none") != "none":
        _join_process_group(cfg)
        wrapper = _wrapper(cfg, broadcast_buffers=False)
        if type_name({"type": PLAIN, **wrapper}) == PLAIN:
            wrapper.type = "pinas_mm.CPUDistributedDataParallel"
            wrapper.setdefault("find_unused_parameters", cfg.get("find_unused_parameters", False))
    _add_hook(cfg, "pinas_mm.SyncBNOnCPUHook")
    optimizer = cfg.get("optim_wrapper") or ConfigDict()
    if type_name(optimizer) != AMP:
        return
    if fast_bfloat16():
        if optimizer.get("dtype") is not None and BFLOAT16 not in str(optimizer.dtype):
            _notice(f"no GPU: mixed precision is in bfloat16 here, not in {optimizer.dtype}")
        optimizer.dtype = BFLOAT16
        return
    optimizer.type = "OptimWrapper"
    for key in ("loss_scale", "dtype", "use_fsdp"):
        optimizer.pop(key, None)
    _notice(
        "no GPU, and a CPU without bfloat16: mixed precision needs one, training is in float32 here"
    )


def _notice(text: str) -> None:
    if not process_rank():
        print_log(text, "current")


def _time_limit(cfg: Config) -> timedelta | None:
    """How long processes wait for one of them; None for PyTorch's own limit."""
    seconds = (cfg.get("env_cfg") or {}).get("dist_cfg", {}).get("timeout")
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
        raise UserError(
            f"env_cfg.dist_cfg.timeout is {seconds!r}: a number of seconds above 0 is allowed"
        )
    return timedelta(seconds=seconds)


def _join_process_group(cfg: Config) -> None:
    """What mmengine's runner does, before it is built; on a CPU it would call CUDA on the way."""
    launcher = cfg.get("launcher", "none")
    if launcher == "none" or distributed.is_initialized():
        return
    env = cfg.get("env_cfg") or {}
    if torch.cuda.is_available():
        set_multi_processing(**env.get("mp_cfg", {}), distributed=True)
        init_dist(launcher, **env.get("dist_cfg", {}))
        return
    timeout = _time_limit(cfg)
    if launcher != "pytorch":
        raise UserError(f"no GPU: --launcher {launcher} needs one, torchrun with pytorch does not")
    distributed.init_process_group("gloo", timeout=timeout)


def _choose_port(cfg: Config) -> None:
    """A port for each job and step of Slurm, two of which may share a node: mmengine has one for
    all. ``MASTER_PORT`` and ``env_cfg.dist_cfg.port`` go before.
    """
    job, step = os.environ.get("SLURM_JOB_ID", ""), os.environ.get("SLURM_STEP_ID", "")
    if cfg.get("launcher") == "slurm" and job.isdigit():
        # Below those that systems give to connections.
        number = int(job) + 997 * int(step if step.isdigit() else 0)
        os.environ.setdefault("MASTER_PORT", str(15000 + number % 15000))


def _check_same_start(cfg: Config, checkpoint: Mapping[str, Any] | None) -> None:
    """Raises in all processes where they would go on from different points of a training."""
    if get_world_size() == 1:
        return
    start = "starts from the beginning"
    if cfg.resume and checkpoint:
        name, iteration = Path(cfg.load_from).name, checkpoint["meta"]["iter"]
        start = f"goes on from {name} at iteration {iteration}"
    starts = all_gather_object(start)
    for rank, other in enumerate(starts):
        if other != starts[0]:
            raise UserError(
                f"--resume finds different files: rank 0 {starts[0]}, rank {rank} {other}; give a "
                "--work-dir on a file system that all machines share, or --resume FILE with a file "
                "that is the same on all"
            )


def _tell_workers(cfg: Config, splits: Sequence[str]) -> None:
    """Says which loaders have more workers than there are cores.

    They are not made fewer: each worker has a seed of its own, so another number augments images
    by other random numbers.
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    fits = max(usable_cores() // processes, 1)
    loaders = {f"{split}_dataloader": cfg.get(f"{split}_dataloader") for split in splits}
    for key, loader in loaders.items():
        given = loader.get("num_workers") if isinstance(loader, Mapping) else None
        if isinstance(given, int) and given > fits:
            _notice(
                f"{key}.num_workers is {given}, of {usable_cores()} cores for {processes} "
                f"process(es) here: --cfg-options {key}.num_workers={fits} may be faster (images "
                "are then augmented by other random numbers)"
            )
