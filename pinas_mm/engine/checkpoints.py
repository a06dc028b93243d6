"""Where a training's checkpoints lie, and under which names."""

from __future__ import annotations

import dataclasses
import glob
import inspect
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Any

from mmengine import registry as roots
from mmengine.config import Config
from mmengine.hooks import CheckpointHook

from pinas_mm.errors import UserError
from pinas_mm.registry import registered
from pinas_mm.weights.checkpoint import last_checkpoint

# What trainings leave in their work dirs, whatever this one's config names its own.
USUAL = "epoch_*.pth", "iter_*.pth", "best_*.pth"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where one of mmengine's CheckpointHooks writes.

    Attributes:
        key: the hook's, in the config.
        folder: ``out_dir`` of the hook with the work dir's name, or the work dir.
        template: of a file's name, with one ``{}`` for its epoch or iteration.
        best: whether the best ones are written too.
        last: the last epoch or iteration.
    """

    key: str
    folder: Path
    template: str
    best: bool
    last: float

    def files(self) -> list[Path]:
        """Those that are there, of whichever training."""
        parts = [(text, field is not None) for text, field, *_ in _parsed(self)]
        name = "".join(glob.escape(text) + "*" * numbered for text, numbered in parts)
        digits = "".join(re.escape(text) + r"\d+" * numbered for text, numbered in parts)
        return [
            path
            for found, one in (
                (name, digits),
                (f"best_*_{_flat(name)}", f"best_.+_{_flat(digits)}"),
            )
            for path in sorted(self.folder.glob(found))
            if path.is_file() and re.fullmatch(one, path.relative_to(self.folder).as_posix())
        ]

    def replaces(self, file: Path) -> bool:
        """Whether this training may write over a file."""
        steps = [int(digits) for digits in re.findall(r"\d+", str(file))]
        names = [self.template.format(step) for step in steps if 0 < step <= self.last]
        best = self.best and file.name.startswith("best_") and _same(file.parent, self.folder)
        return any(_same(self.folder / name, file) for name in names) or (
            best and file.name.endswith(tuple(f"_{_flat(name)}" for name in names))
        )


def places(cfg: Config) -> list[Place]:
    """Where the CheckpointHooks of a training write, on this machine's file systems.

    Raises:
        UserError: a ``filename_tmpl`` has not one ``{}``: each would replace the one before.
    """
    usual, more = cfg.get("default_hooks"), cfg.get("custom_hooks")
    # Of another form, they are refused later.
    inner = usual.items() if isinstance(usual, Mapping) else ()
    hooks = {f"default_hooks.{name}": hook for name, hook in inner}
    outer = more if isinstance(more, (list, tuple)) else ()
    hooks |= {f"custom_hooks.{index}": hook for index, hook in enumerate(outer)}
    hooks.setdefault("default_hooks.checkpoint", dict(type=CheckpointHook))
    settings = {key: _settings(hook, cfg.get("default_scope")) for key, hook in hooks.items()}
    return [
        _place(key, of_hook, cfg)
        for key, of_hook in settings.items()
        if of_hook is not None and "://" not in str(of_hook.get("out_dir"))
    ]


def folders(cfg: Config) -> dict[Path, str]:
    """The folders that a training writes to, each with the option that gives it."""
    return {place.folder: f"{place.key}.out_dir" for place in places(cfg)} | {
        Path(cfg.work_dir): "--work-dir"
    }


def checkpoints(cfg: Config) -> list[Path]:
    """What trainings left under the names and in the places of this one's checkpoints."""
    usual = [path for name in USUAL for path in sorted(Path(cfg.work_dir).glob(name))]
    return list(dict.fromkeys([*usual, *(path for one in places(cfg) for path in one.files())]))


def last_of(cfg: Config) -> Path | None:
    """A training's last good checkpoint; None where it has left none.

    Raises:
        UserError: what it has left is truncated, damaged or where it cannot be read.
    """
    files, work_dir = checkpoints(cfg), Path(cfg.work_dir)
    if not files and not (work_dir / "last_checkpoint").exists():
        return None
    return last_checkpoint(work_dir, files)


def _settings(hook: object, scope: str | None) -> Mapping[str, Any] | None:
    """A CheckpointHook's, of its config or of itself; None of other hooks."""
    if isinstance(hook, CheckpointHook):
        return vars(hook)
    if not isinstance(hook, Mapping):
        return None
    kind = registered(hook.get("type"), scope, roots.HOOKS)
    return hook if inspect.isclass(kind) and issubclass(kind, CheckpointHook) else None


def _place(key: str, hook: Mapping[str, Any], cfg: Config) -> Place:
    """As mmengine's hook does before the training."""
    by_epoch, out_dir, folder = hook.get("by_epoch", True), hook.get("out_dir"), Path(cfg.work_dir)
    # mmengine's runner works with the absolute path, which has a name for "." too.
    whole = os.path.abspath(folder)
    if out_dir is not None and str(out_dir) != whole:
        folder = Path(str(out_dir), os.path.basename(whole))
    template = hook.get("filename_tmpl")
    if template is None:
        template = "epoch_{}.pth" if by_epoch else "iter_{}.pth"
    loop = cfg.get("train_cfg")
    last = loop.get("max_epochs" if by_epoch else "max_iters") if isinstance(loop, Mapping) else 0
    last = last if isinstance(last, int) else math.inf
    place = Place(key, folder, template, bool(hook.get("save_best")), last)
    try:
        place.template.format(1)
        named = len({field for _, field, *_ in _parsed(place) if field is not None})
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        named = 0
    if named != 1:
        raise UserError(
            f"{key}.filename_tmpl is {template!r}: give a file name with one {{}}, for the epoch "
            "or iteration"
        )
    return place


def _flat(name: str) -> str:
    """Of a best one, as mmengine names it."""
    return name.replace("/", "_")


def _parsed(place: Place) -> list[tuple[str, str | None, str | None, str | None]]:
    return list(Formatter().parse(place.template))


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
