"""What a run needs later, looked at before it begins."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import inspect
import logging
import threading
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import METRICS
from mmengine.runner import BaseLoop, Runner

from pinas_mm.ending import process_rank
from pinas_mm.engine.checkpoints import checkpoints, folders, places
from pinas_mm.errors import UserError
from pinas_mm.export.statistics import tell_other_images
from pinas_mm.files import check_writable
from pinas_mm.registry import HOOKS, dicts, parts, registered, type_name


class _Held(threading.local):
    """The locked file of each folder that a training of this thread holds."""

    def __init__(self) -> None:
        self.files: dict[Path, BinaryIO] = {}


_HELD = _Held()
# What `flock` says of a file that another process has locked.
LOCKED = errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES
# What loops of ours measure without an evaluator.
OF_LOOPS = {"RetrievalLoop": ("retrieval/top1", "retrieval/spread")}
# What the runner builds.
BUILT = (
    *("model", "optim_wrapper", "param_scheduler", "train_cfg", "val_cfg", "test_cfg"),
    *("train_dataloader", "val_dataloader", "test_dataloader", "val_evaluator", "test_evaluator"),
    *("default_hooks", "custom_hooks", "visualizer"),
)
NUMBERS = {float: (float, int), int: (int,), bool: (bool,), str: (str,)}


def check_run(cfg: Config, trains: bool) -> None:
    """Checks a run's folder, and what acts after its first steps: hooks, loops, the best metric.

    Args:
        cfg: the run's config.
        trains: whether it is a training, whose checkpoints must not mix with another's.

    Raises:
        UserError: names the folder or the config's key, and what is allowed.
    """
    _check_forms(cfg)
    if cfg.get("work_dir"):
        _check_folder(Path(cfg.work_dir), cfg, trains)
    for key, config in parts({key: cfg.get(key) for key in BUILT}):
        kind = config.get("type", _usual_loop(key, config))
        if kind is not None:
            _check_types(key, kind, config, cfg.get("default_scope"))
    for name in ("max_epochs", "max_iters", "val_interval"):
        number = (cfg.get("train_cfg") or {}).get(name, 1)
        if not (isinstance(number, (int, float)) and number >= 1):
            raise UserError(f"train_cfg.{name} is {number}: at least 1 is allowed")
    if trains and cfg.get("val_cfg") is not None:
        _check_best(cfg)
    tell_other_images(cfg)
    if trains:
        _tell_cut_off(cfg)


def _check_forms(cfg: Config) -> None:
    """Raises where a number or a text stands for a part; objects are the Python API's."""
    found = {key: cfg.get(key) for key in (*BUILT, "env_cfg", "randomness")}
    found |= {
        f"{key}.{index}": inner
        for key, part in found.items()
        if isinstance(part, (list, tuple)) or (key == "default_hooks" and isinstance(part, dict))
        for index, inner in (part.items() if isinstance(part, dict) else enumerate(part))
    }
    for key, part in found.items():
        if isinstance(part, (bool, int, float, str)):
            raise UserError(f"{key} is {part!r}: give a dict of settings")


def _check_folder(work_dir: Path, cfg: Config, trains: bool) -> None:
    if trains and not cfg.get("resume"):
        _check_free(work_dir, cfg)
    for folder, option in (folders(cfg) if trains else {work_dir: "--work-dir"}).items():
        check_writable(folder, option)
        if trains and not process_rank():
            _hold(folder.resolve())


def _check_free(work_dir: Path, cfg: Config) -> None:
    source = Path(cfg.load_from).resolve() if cfg.get("load_from") else None
    there = [path for path in checkpoints(cfg) if path.resolve() != source]
    if there:
        folder = there[0].parent
        inside = folder.is_relative_to(work_dir)
        another = "another --work-dir" if inside else "a --work-dir of another name"
        raise UserError(
            f"{folder} holds {there[0].name} of a training already, which a new one would mix "
            f"with: go on with --resume, or give {another}"
        )
    if source and any(place.replaces(source) for place in places(cfg)):
        raise UserError(
            f"load_from is {source}, which this training may write over: give another --work-dir, "
            "or go on with --resume"
        )


@contextlib.contextmanager
def held_within() -> Iterator[None]:
    """Lets other processes' trainings into the folders of one that began in a ``with`` block."""
    before = [*_HELD.files]
    try:
        yield
    finally:
        # Of another thread's trainings this one holds nothing, and releases nothing.
        for folder in [folder for folder in _HELD.files if folder not in before]:
            with _HELD.files.pop(folder) as file:
                # Loaders' workers have the file open too.
                fcntl.flock(file, fcntl.LOCK_UN)


def _hold(work_dir: Path) -> None:
    """Keeps other processes' trainings out of a folder: for good, but in :func:`held_within`."""
    if work_dir in _HELD.files:
        return
    # The system's own lock ends with its holder. Where there is none, filelock would leave a file
    # in its place, which keeps a training on another machine out for ever.
    file = None
    try:
        file = (work_dir / ".training.lock").open("ab")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if file:
            file.close()
        if file and error.errno in LOCKED:
            raise UserError(
                f"another training is at work in {work_dir}: wait for its end, or give another "
                "--work-dir"
            ) from error
        # Some network file systems have no locks; a training is not refused for that.
        print_log(
            f"{work_dir} cannot be locked ({error}): start no other training in it", "current"
        )
        return
    _HELD.files[work_dir] = file


def _usual_loop(key: str, config: Mapping[str, Any]) -> str | None:
    """The loop that the runner builds of a config without a type; None of what is no loop's."""
    train = "EpochBasedTrainLoop" if config.get("by_epoch", True) else "IterBasedTrainLoop"
    return dict(train_cfg=train, val_cfg="ValLoop", test_cfg="TestLoop").get(key)


def _check_types(key: str, kind: Any, config: Mapping[str, Any], scope: str | None) -> None:
    """Holds numbers and texts against the annotations of the class that they are for.

    Libraries' annotations are not always right: of theirs, only a text for a number is a fault,
    but for hooks and loops, which would fail at the end of an epoch; a whole number may be a float,
    as a quotient is. What is of the default's own type is none.
    """
    cls = registered(kind, scope)
    if not inspect.isclass(cls):
        return
    # PyTorch 2.1 annotates no learning rate.
    wanted: dict[str, Any] = dict(lr=float) if issubclass(cls, torch.optim.Optimizer) else {}
    defaults: dict[str, Any] = {}
    bases: tuple[Any, ...] = cls.__mro__
    for base in reversed(bases):
        with contextlib.suppress(ValueError):  # Of a class in C.
            named = inspect.signature(base.__init__).parameters
            defaults |= {name: parameter.default for name, parameter in named.items()}
        with contextlib.suppress(NameError, TypeError):  # What is imported for types only.
            wanted |= typing.get_type_hints(base.__init__)
    ours = cls.__module__.startswith("pinas_mm.")
    strict = ours or issubclass(cls, (Hook, BaseLoop))
    for name, value in config.items():
        if name not in wanted or type(value) is type(defaults.get(name)):
            continue
        whole = not ours and isinstance(value, float) and value.is_integer()
        fits = _fits(int(value) if whole else value, wanted[name])
        if (strict or isinstance(value, str)) and not fits:
            shown = wanted[name].__name__ if inspect.isclass(wanted[name]) else str(wanted[name])
            raise UserError(
                f"{key}.{name} is {value!r}: {cls.__name__} takes {shown.replace('typing.', '')}"
            )


def _fits(value: Any, wanted: Any) -> bool:
    """Whether a value is of a type; of what is no number, text or choice of these it may be."""
    if wanted is type(None):
        return value is None
    if typing.get_origin(wanted) in (typing.Union, types.UnionType):
        choices = typing.get_args(wanted)
        if isinstance(value, str) and {int, float} & set(choices):
            # Of numbers, a sequence is no text either.
            others = [one for one in choices if typing.get_origin(one)]
            return bool({str, Any} & set(choices)) or not all(
                {int, float} & set(typing.get_args(one)) for one in others
            )
        return any(_fits(value, one) for one in choices)
    if wanted not in NUMBERS or value is None:  # Many a default is, whatever its annotation says.
        return True
    return isinstance(value, NUMBERS[wanted]) and not (
        isinstance(value, bool) and wanted is not bool
    )


def _tell_cut_off(cfg: Config) -> None:
    """Says which schedules the training ends before."""
    for by_epoch, unit, name in (
        (True, "epochs", "max_epochs"),
        (False, "iterations", "max_iters"),
    ):
        length = (cfg.get("train_cfg") or {}).get(name)
        for key, part in parts(cfg.get("param_scheduler"), "param_scheduler"):
            ends = [part.get("end"), part.get("T_max"), *(part.get("milestones") or [])]
            last = max((end for end in ends if isinstance(end, int)), default=0)
            if length and part.get("by_epoch", True) is by_epoch and last > length:
                print_log(
                    f"{key} goes on to {last} {unit}, the training ends after {length}: the "
                    "learning rate is cut off on its way",
                    "current",
                    logging.WARNING,
                )


def _check_best(cfg: Config) -> None:
    """Raises where the metric that chooses the best checkpoint is none of the validation's."""
    hook = (cfg.get("default_hooks") or {}).get("checkpoint")
    best = hook.get("save_best") if isinstance(hook, dict) else None  # Else it is an object.
    given = _given(cfg)
    for name in best if isinstance(best, (list, tuple)) else [best]:
        if not isinstance(name, (str, type(None))):
            raise UserError(
                f"default_hooks.checkpoint.save_best is {name}: give a metric's name, or 'auto'"
            )
        if name in (None, "auto") or not given or name.startswith(tuple(given)):
            continue
        raise UserError(
            f"default_hooks.checkpoint.save_best is {name}: validation gives {', '.join(given)}..."
        )


def _given(cfg: Config) -> list[str]:
    """How the names of the validation's metrics begin; empty where that is not known."""
    of_loop = OF_LOOPS.get(type_name(cfg.val_cfg))
    if of_loop:
        return list(of_loop)
    prefixes = []
    for metric in dicts(cfg.get("val_evaluator") or {}):
        cls = registered(metric.get("type"), cfg.get("default_scope"), METRICS)
        prefix = metric.get("prefix") or getattr(cls, "default_prefix", None)
        if not prefix:
            return []
        prefixes.append(f"{prefix}/")
    return prefixes


@HOOKS.register_module()
class BestMetricHook(Hook):
    """Says which metrics there are where ``save_best`` names none of them.

    Raises:
        UserError: after the first validation; mmengine's CheckpointHook would raise a KeyError.
    """

    priority = "LOW"

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Looks at the metrics before the checkpoint hook does."""
        hooks = [hook for hook in runner.hooks if getattr(hook, "save_best", None)]
        for name in (name for hook in hooks for name in hook.key_indicators or []):
            if metrics and name != "auto" and name not in metrics:
                raise UserError(
                    f"save_best is {name}: validation gives {', '.join(metrics)}; what is trained "
                    f"so far is in {runner.work_dir}: go on with --resume"
                )
