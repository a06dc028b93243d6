"""From a config's name and options to a config that says everything once."""

from __future__ import annotations

import ast
import copy
import difflib
import inspect
import traceback
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from logging import WARNING
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

from pinas_mm.data.roots import follow_data
from pinas_mm.engine.faults import explain
from pinas_mm.errors import UserError
from pinas_mm.export.subnet import network_configs
from pinas_mm.model_index import REPOSITORY
from pinas_mm.registry import dicts, parts, plain, registered
from pinas_mm.space import SearchSpace
from pinas_mm.stack import EXTRAS, needs

# What is read at the top of a config, beside the runner's own arguments.
READ = {
    *inspect.signature(Runner).parameters,
    *("auto_scale_lr", "custom_imports", "find_unused_parameters", "model_wrapper_cfg"),
    *("runner_type", "search", "space", "tta_model", "tta_pipeline"),
}


def usual_work_dir(cfg: Config) -> str:
    """Where a run goes that says nothing of it: where its config says, else ``work_dirs/NAME``.

    Raises:
        UserError: the config says nothing and is of no file.
    """
    if not cfg.get("work_dir") and not cfg.filename:
        raise UserError("the config has neither work_dir nor a file's name: give a work_dir")
    return cfg.get("work_dir") or str(Path("work_dirs") / Path(cfg.filename).stem)


def read_config(name: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """A config that says everything once.

    Args:
        name: a file, relative to the working directory or the repository; or a library's own, as
            ``mmdet::retinanet/retinanet_r50_fpn_1x_coco.py``.
        options: settings to override, by keys joined by dots. Where one changes a ``type``, what
            the new type does not take goes, with a notice.

    Returns:
        The config. Its top-level ``space``, if any, is that of its model's networks; data sets
        below ``data/`` that are below ``$PINAS_DATA`` are read there.

    Raises:
        UserError: it is no file's name; there is no such file, or it cannot be read, names file and
            line; an option names nothing that is read; two search spaces are said.
    """
    if not isinstance(name, (str, Path)):
        raise UserError(
            f"config is a {type(name).__name__}: give a file, or to what takes a config "
            "mmengine.Config(dict(...))"
        )
    cfg = _read(str(name))
    _check_libraries(cfg)
    said = _assigned(cfg.filename)
    link_space(cfg)
    if options:
        before = _spaces(cfg)
        _merge(cfg, options)
        if any(key.startswith("custom_imports") for key in options):
            import_modules_from_strings(**cfg.custom_imports)
        _link_changed(cfg, before)
        said |= {key.partition(".")[0] for key in options}
    _tell_unread(cfg, said)
    follow_data(cfg._cfg_dict)
    return cfg


def link_space(cfg: Config) -> None:
    """Makes the top-level ``space`` the networks', or theirs the top-level one.

    A base's ``{{_base_.space}}`` is resolved before a config that inherits it changes ``space``:
    the network would keep the paper's. Which of two is meant is the one that is not the paper's.

    Raises:
        UserError: neither is.
    """
    top, networks = _spaces(cfg)
    if top is None:
        return
    for network, space in zip(network_configs(cfg), networks, strict=True):
        if space is None or space == SearchSpace():
            network["space"] = copy.deepcopy(cfg.space)
        elif space != top:
            if top != SearchSpace():
                place = next(key for key, part in parts(cfg._cfg_dict) if part is network)
                raise UserError(
                    f"config {cfg.filename}: space is {top}, {place}.space is {space}: say it "
                    f"once, as space = dict(...), and leave out {place}.space"
                )
            cfg.space = copy.deepcopy(network["space"])


def _read(name: str) -> Config:
    library, sign, _ = name.partition("::")
    if sign and find_spec(library) is None:  # mmengine would install it.
        if library in EXTRAS:
            needs(library, what=f"config {name}")
        raise UserError(f"config {name}: there is no package {library} here")
    path = next((p for p in (Path(name), REPOSITORY / name) if p.exists()), None)
    if not sign and (path is None or path.is_dir()):
        what = "is a folder" if path else "does not exist"
        raise UserError(f"config {name} {what}: give a file, or a library's as 'mmdet::...'")
    try:
        return Config.fromfile(path) if path is not None and not sign else get_config(name)
    except UserError:
        raise
    except Exception as error:  # A config is code.
        cause: BaseException = error
        while cause.__cause__ or (isinstance(cause, ImportError) and cause.__context__):
            cause = cause.__cause__ or cause.__context__ or cause
        raise UserError(f"config {_place(error) or name}: {explain(cause)}") from error


def _check_libraries(cfg: Config) -> None:
    """Refuses a config of a library that is not there, of which mmengine would find no part."""
    scopes = {cfg.get("default_scope")}
    scopes |= {str(part.get("type")).partition(".")[0] for part in dicts(dict(cfg.items()))}
    needs(*sorted(scopes & EXTRAS.keys()), what=f"config {cfg.filename}")


def _place(error: Exception) -> str | None:
    """File and line of the config that could not be read."""
    reading = [
        frame.f_locals["filename"]
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name in ("_is_lazy_import", "_file2dict", "_parse_lazy_import")
    ]
    if isinstance(error, FileNotFoundError):
        # The last is what one of the others names.
        reading = [name for name in reading if name != reading[-1]]
    if not reading:
        return None
    if isinstance(error, SyntaxError):
        return f"{reading[-1]}, line {error.lineno}"
    lines = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename in reading
    ]
    return f"{lines[-1][0]}, line {lines[-1][1]}" if lines else reading[-1]


def _spaces(cfg: Config) -> tuple[SearchSpace | None, list[SearchSpace | None]]:
    """The top-level search space and those of the networks; None where there is none."""
    parts: list[Any] = [cfg, *network_configs(cfg)]
    built = [SearchSpace.build(plain(p["space"])) if p.get("space") else None for p in parts]
    return built[0], built[1:]


def _link_changed(cfg: Config, before: tuple[SearchSpace | None, list[Any]]) -> None:
    """After options: what one of the two places says anew, the other says too."""
    top, networks = _spaces(cfg)
    if top == before[0] and networks and networks != before[1] and "space" in cfg:
        cfg.space = copy.deepcopy(network_configs(cfg)[0]["space"])
    elif top is not None and networks == before[1]:
        for network in network_configs(cfg):
            network["space"] = copy.deepcopy(cfg.space)
    elif top is not None and any(space != top for space in networks):
        raise UserError(
            f"--cfg-options: space is {top}, the model's {networks[0]}: set space alone"
        )


def _merge(cfg: Config, options: Mapping[str, Any]) -> None:
    for key in options:
        first = key.partition(".")[0]
        if first not in cfg and first not in READ:
            near = difflib.get_close_matches(first, {*cfg, *READ}, 3)
            hint = f"did you mean {' or '.join(near)}?" if near else "it has " + ", ".join(cfg)
            raise UserError(f"--cfg-options {key}: the config has no {first}: {hint}")
    old = {key: _at(cfg, key) for key in options if key.rpartition(".")[2] == "type"}
    try:
        cfg.merge_from_dict(dict(options))
    except Exception as error:  # Of many sorts where keys lead through what is no dict.
        raise UserError(f"--cfg-options {' '.join(options)}: {explain(error)}") from error
    for key, kind in old.items():
        if kind is not None and kind != options[key]:
            _drop_foreign(cfg, key.rpartition(".")[0], kind, options)


def _drop_foreign(cfg: Config, key: str, old: Any, options: Mapping[str, Any]) -> None:
    """Leaves out what the new type does not take of the old one's settings."""
    part = _at(cfg, key)
    takes = _arguments(part["type"], cfg.get("default_scope"))
    if takes is None:
        return
    given = {name for name in part if f"{key}.{name}" in options}
    given |= {name for name in part if any(o.startswith(f"{key}.{name}.") for o in options)}
    foreign = set(part) - takes - given - {"type", "_scope_"}
    for name in foreign:
        del part[name]
    if foreign:
        print_log(
            f"{key} is {part['type']} now: left out {', '.join(sorted(foreign))}, of {old}",
            "current",
        )


def _arguments(kind: Any, scope: str | None) -> set[str] | None:
    """Names of what a type takes; None where that cannot be said."""
    cls = registered(kind, scope)
    if not inspect.isclass(cls):
        return None
    names: set[str] = set()
    bases: tuple[Any, ...] = cls.__mro__
    for base in bases:
        parameters = inspect.signature(base.__init__).parameters.values()
        names |= {parameter.name for parameter in parameters}
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            return names
    return None


def _at(cfg: Config, key: str) -> Any:
    """What a dotted key leads to; None where it leads nowhere."""
    node: Any = cfg
    for name in key.split("."):
        if isinstance(node, (list, tuple)):
            node = node[int(name)] if name.isdecimal() and int(name) < len(node) else None
        else:
            node = node.get(name) if hasattr(node, "get") else None
    return node


def _assigned(filename: str | None) -> set[str]:
    """Names that a config file sets, and does not use itself."""
    if filename is None or not filename.endswith(".py"):
        return set()
    tree = ast.parse(Path(filename).read_text(encoding="utf-8"))
    targets = [t for node in tree.body if isinstance(node, ast.Assign) for t in node.targets]
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return {target.id for target in targets if isinstance(target, ast.Name)} - used


def _tell_unread(cfg: Config, said: set[str]) -> None:
    """Says which settings reach nothing.

    A variable at the top of a config is used where it stands; a base's use of it has been resolved
    with the base's own value before.
    """
    parts = list(_values({key: value for key, value in cfg.items() if key in READ}))
    texts = [part for part in parts if isinstance(part, str)]
    for name in sorted(said - READ):
        value = cfg.get(name)
        if value is None or isinstance(value, (bool, int, float)):
            continue
        reaches = any(value in text for text in texts) if isinstance(value, str) else value in parts
        if not reaches and not name.startswith("_"):
            near = difflib.get_close_matches(name, READ, 1, cutoff=0.8)
            hint = f"did you mean {near[0]}?" if near else "set the part that shall have it"
            print_log(f"config: nothing reads {name} as it is set now: {hint}", "current", WARNING)


def _values(node: Any) -> Iterator[Any]:
    yield node
    children = node.values() if isinstance(node, Mapping) else ()
    for child in node if isinstance(node, (list, tuple)) else children:
        yield from _values(child)
