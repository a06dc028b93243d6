"""What a tool says of an exception: one line as long as no step is done, the traceback after it."""

from __future__ import annotations

import difflib
import inspect
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, NoReturn, cast

from mmengine import registry as roots
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope, Registry
from mmengine.runner import Runner
from torch import nn

from pinas_mm.ending import DEBUG, let_rank_0_speak
from pinas_mm.errors import UserError, user_line
from pinas_mm.registry import HOOKS, parts, registered
from pinas_mm.stack import extra_hint

LONGEST = 400
UNKNOWN = re.compile(r"(\S+) is not in the [\w:. ]+?(?= registry)")
# Where mmengine builds, under which names a registry is at hand there, and which setting a method
# of its runner is for that is not handed a part of the config.
BUILDERS = ("mmengine.registry.", "mmengine.runner.runner", "pinas_mm.registry")
REGISTRIES = ("registry", "self")
BUILDS = {"set_randomness": "randomness", "setup_env": "env_cfg", "build_logger": "log_level"}


@HOOKS.register_module()
class FirstStepHook(Hook):
    """Notes that a run works: what is raised later is no slip in its config."""

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """A step is done."""
        vars(runner)["has_stepped"] = True

    after_val_iter = after_test_iter = after_train_iter


def fail(error: Exception) -> NoReturn:
    """Ends the process with one line on stderr and status 2 where the user can mend the input.

    That is every :class:`UserError`, and whatever else is raised before the first iteration is
    done: the line names the config's key and the cause. The traceback goes to the run's log, and
    to the screen where the environment has ``PINAS_DEBUG=1``. To be called where the error is
    handled.

    Raises:
        SystemExit: the line is said.
        Exception: the error itself, after a step or with ``PINAS_DEBUG=1``.
    """
    if os.environ.get(DEBUG) == "1":
        raise error
    text = explain(error)
    if isinstance(error, UserError):
        if error.__cause__:  # Which may be a bug in what the user brought.
            _log(error)
    else:
        if _has_stepped(error):
            raise error
        log = _log(error)
        text += f" (traceback in {log})" if log else f" ({DEBUG}=1 shows the traceback)"
    let_rank_0_speak()
    print(f"error: {text}", file=sys.stderr)
    raise SystemExit(2) from None


def explain(error: BaseException) -> str:
    """One line: where in the config or the network, what, and what it may have been meant for."""
    # A KeyError's own text is the quoted one.
    text = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    lines = text.strip().splitlines() or [_source(error)]
    # A data worker's exception arrives with its traceback in the text, the cause last.
    from_worker = "DataLoader worker" in lines[0]
    if isinstance(error, UserError):
        return lines[-1].removeprefix("pinas_mm.errors.UserError: ")
    unknown = UNKNOWN.match(lines[0])
    if unknown:
        text = f"{unknown[0]} registry"
    elif from_worker:
        text = lines[-1]
    else:
        text = f"{type(error).__name__}: {' '.join(line.strip() for line in lines)}"
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]} ..."
    key, config = _config_part(error)
    hint = _hint(error) or ("" if unknown else _unregistered(config))
    said = [key or _module(error), text + hint, user_line(error)]
    return ": ".join(part for part in said if part)


def _source(error: BaseException) -> str:
    """The line that raised, for an exception without a text."""
    raised = traceback.extract_tb(error.__traceback__)[-1]
    return f"{raised.line} ({raised.filename}:{raised.lineno})"


def _frames(error: BaseException) -> Iterator[FrameType]:
    """From the innermost outwards."""
    return (frame for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))))


def _has_stepped(error: BaseException) -> bool:
    owners = (frame.f_locals.get("self") for frame in _frames(error))
    return any(isinstance(one, Runner) and hasattr(one, "has_stepped") for one in owners)


def _log(error: BaseException) -> str | None:
    """Writes the traceback to the run's log file; its name, if there is one."""
    logger = MMLogger.get_current_instance()
    files = [one for one in logger.handlers if isinstance(one, logging.FileHandler)]
    shown = (type(error), error, error.__traceback__)
    for handler in files:
        handler.emit(
            logger.makeRecord(logger.name, logging.ERROR, __file__, 0, "raised:", (), shown)
        )
    return files[0].baseFilename if files else None


def _config_part(error: BaseException) -> tuple[str | None, Any]:
    """Key and value of the deepest part of the config that mmengine was building."""
    frames = list(_frames(error))
    configs = [v for f in frames for v in f.f_locals.values() if isinstance(v, Config)]
    if not configs:
        return None, None
    known = [(key, part) for config in configs for key, part in parts(config._cfg_dict) if key]
    for frame in frames:
        module, function = str(frame.f_globals.get("__name__")), frame.f_code.co_name
        if not module.startswith(BUILDERS) or function in ("__init__", "from_cfg"):
            continue
        if function in BUILDS:
            return BUILDS[function], None
        for value in frame.f_locals.values():
            for key, part in known:
                if isinstance(value, Mapping) and value and (value is part or value == part):
                    return key, part
    return None, None


def _module(error: BaseException) -> str | None:
    """The innermost module of the network that was at work, by its name in the outermost."""
    owners = [frame.f_locals.get("self") for frame in _frames(error)]
    modules = [owner for owner in owners if isinstance(owner, nn.Module)]
    if not modules:
        return None
    names = {id(module): name for name, module in modules[-1].named_modules()}
    inner = next((m for m in modules if names.get(id(m))), None)
    if inner is None:
        return None
    shown = repr(inner) if not list(inner.children()) else type(inner).__name__
    return f"model.{names[id(inner)]} ({shown})"


def _hint(error: BaseException) -> str:
    """Nearest names to one that is not known, what is to be installed, and what else it may be."""
    if extra_hint(error):
        return extra_hint(error)
    unknown = UNKNOWN.search(str(error))
    if unknown:
        registries = [frame.f_locals.get(name) for frame in _frames(error) for name in REGISTRIES]
        known = {name for one in registries for name in _names(one)}
        return _near(unknown[1].rpartition(".")[2], known)
    argument = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if argument:
        classes: list[Any] = [frame.f_locals.get("obj_cls") for frame in _frames(error)]
        known = {
            name
            for cls in [one for one in classes if inspect.isclass(one)][:1]
            for base in cast(tuple[Any, ...], cls.__mro__[:-1])
            for name in inspect.signature(base.__init__).parameters
        }
        if argument[1] == "pretrained":
            # As mmseg's bases have it; the argument is not in the backbone's own config.
            return (
                "; leave it out, set pretrained=None in a model that hands its own on to the "
                "backbone, and give weights by init_cfg in the backbone"
            )
        near = _near(argument[1], known - {"self", "args", "kwargs"})
        return near or "; of another type in a base config? _delete_=True leaves its settings out"
    return ""


def _unregistered(config: Any) -> str:
    """What a part of the config names that no registry has: mmengine's builders pass on None."""
    scope = DefaultScope.get_current_instance()
    scope_name = scope.scope_name if scope else None
    for key, part in parts(config):
        kind = part.get("type")
        # Non-maximum suppression is a function of mmcv's.
        if not isinstance(kind, str) or key.rpartition(".")[2] == "nms":
            continue
        if registered(kind, scope_name) is None:
            known = {name for top in vars(roots).values() for name in _names(top)}
            return f"; type {kind} is in no registry{_near(kind, known)}"
    return ""


def _near(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, 3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _names(registry: Any) -> Iterator[str]:
    """Of a registry, its parents and all their children."""
    if not isinstance(registry, Registry):
        return
    while registry.parent is not None:
        registry = registry.parent
    todo = [registry]
    while todo:
        one = todo.pop()
        todo.extend(one.children.values())
        yield from one.module_dict
