"""Child registries of mmengine's roots under the scope ``pinas_mm``, and registries of our own.

``type='pinas_mm.PiNASBackbone'`` works in mmpretrain, mmdet and mmseg configs once
``custom_imports = dict(imports=['pinas_mm'], allow_failed_imports=False)`` is there. A registry
imports what is registered in it when something is first looked up.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from mmengine import registry as root
from mmengine.utils import get_object_from_string
from torch import nn

from pinas_mm.errors import UserError

Registry = partial(root.Registry, scope="pinas_mm")

NETWORKS = ["pinas_mm.models", "pinas_mm.algorithms", "pinas_mm.data.views"]
MODELS = Registry("model", parent=root.MODELS, locations=NETWORKS)
DATASETS = Registry(
    "dataset",
    parent=root.DATASETS,
    locations=["pinas_mm.data.cache", "pinas_mm.data.image_folder", "pinas_mm.data.k_fold"],
)
DATA_SAMPLERS = Registry(
    "data sampler",
    parent=root.DATA_SAMPLERS,
    locations=["pinas_mm.data.fixed_sampler", "pinas_mm.data.remaining_batches"],
)
TRANSFORMS = Registry("transform", parent=root.TRANSFORMS, locations=["pinas_mm.data.loading"])
HOOKS = Registry("hook", parent=root.HOOKS, locations=["pinas_mm.engine"])
MODEL_WRAPPERS = Registry(
    "model wrapper", parent=root.MODEL_WRAPPERS, locations=["pinas_mm.engine"]
)
OPTIM_WRAPPERS = Registry(
    "optimizer wrapper", parent=root.OPTIM_WRAPPERS, locations=["pinas_mm.engine"]
)
OPTIMIZERS = Registry("optimizer", parent=root.OPTIMIZERS, locations=["pinas_mm.engine"])
LOOPS = Registry("loop", parent=root.LOOPS, locations=["pinas_mm.engine"])
METRICS = Registry("metric", parent=root.METRICS, locations=["pinas_mm.engine"])
WEIGHT_INITIALIZERS = Registry(
    "weight initializer",
    parent=root.WEIGHT_INITIALIZERS,
    locations=["pinas_mm.weights.initializers"],
)
OPERATIONS = Registry("operation", locations=["pinas_mm.models"])
SKELETONS = Registry("skeleton", locations=["pinas_mm.models"])
# Functions (part of a network, its input) -> a number that adds up over the parts.
COSTS = Registry("cost", locations=["pinas_mm.models"])
PATH_SAMPLERS = Registry("path sampler", parent=root.TASK_UTILS, locations=["pinas_mm.models"])
SCORES = Registry("score of architectures", locations=["pinas_mm.search.evaluation.scores"])
ARCH_SAMPLERS = Registry("arch sampler", locations=["pinas_mm.search.samplers"])


def find(registry: root.Registry, name: Any, what: str) -> Any:
    """What is registered under a name, with or without our scope; a class is taken as it is.

    Args:
        registry: one of ours.
        name: its name.
        what: what the message calls it.

    Raises:
        UserError: there is none; the nearest names are offered, and all that there are.
    """
    if inspect.isclass(name) or inspect.isfunction(name):
        return name
    registry.import_from_location()
    known = sorted(registry.module_dict)
    bare = str(name).removeprefix("pinas_mm.")
    if bare in known:
        return registry.module_dict[bare]
    near = difflib.get_close_matches(bare, known, 1)
    hint = f"did you mean {_scoped(registry, near[0])}? " if near else ""
    names = ", ".join(_scoped(registry, one) for one in known)
    raise UserError(
        f"{what}: {registry.name} {name} is unknown: {hint}known are {names}; one of your own is "
        "known once its file is among the config's custom_imports"
    )


def registered(kind: Any, scope: str | None, among: root.Registry | None = None) -> Any:
    """What mmengine builds for a type; None where there is nothing.

    Args:
        kind: a class or function, taken as it is; or a name with or without a scope, or the dotted
            address of what is imported for it: a user's, never a file's (see :func:`check_known`).
        scope: the config's ``default_scope``.
        among: one of mmengine's own registries; None is all of them.
    """
    if not isinstance(kind, str):
        return kind if callable(kind) else None
    found = _looked_up(kind, scope, among)
    if found is None and "." in kind:
        with contextlib.suppress(ValueError):  # As '.name' has an empty one.
            found = get_object_from_string(kind)
    return found if callable(found) else None


def _looked_up(name: str, scope: str | None, among: root.Registry | None) -> Any:
    """What a registry has under a name with or without a scope; None where none has."""
    said, _, bare = name.rpartition(".")
    if "." in said:
        return None
    scopes = [one for one in (said, scope, "pinas_mm") if one]
    for one in scopes:
        _load(one)
    every = [among] if among else vars(root).values()
    tops = [top for top in every if isinstance(top, root.Registry)]
    if said not in ("", *_SCOPES) and not any(said in top.children for top in tops):
        return None  # A module that has a class of a registered one's name.
    for top in tops:
        for registry in (*(top.children.get(one) for one in scopes), top):
            if registry is not None:
                registry.import_from_location()
                if bare in registry.module_dict:
                    return registry.module_dict[bare]
    return None


def _load(scope: str) -> None:
    """Imports a library's registries; what a type says may be any module instead."""
    try:
        spec = find_spec(scope)
    except ValueError:  # Of a module without one, as __main__.
        return
    if spec and spec.submodule_search_locations and find_spec(f"{scope}.registry"):
        import_module(f"{scope}.registry")


def check_known(config: object, what: str) -> None:
    """Checks that building a config imports nothing: mmengine takes a type that is not registered
    for the address of any callable, imports it and calls it, and a config may be a file's.

    Args:
        config: dicts and lists, however deep.
        what: what the message calls it.

    Raises:
        UserError: a type is neither registered nor a module's class that was imported before.
    """
    for part in dicts(config):
        kind = part.get("type")
        if not isinstance(kind, str):
            continue
        scope = kind.rpartition(".")[0]
        # What is loaded is asked first: a library may be large, and not be needed.
        known = _is_loaded(kind) or (scope in _SCOPES and _looked_up(kind, None, None) is not None)
        if not known and not _is_imported(kind):
            raise UserError(
                f"{what}: type {kind} is unknown, and nothing is imported for it: one of your own "
                "is known once its file is among the config's custom_imports"
            )


_SCOPES = ("mmengine", "mmcv", "mmpretrain", "mmdet", "mmseg", "pinas_mm")


def _is_loaded(name: str) -> bool:
    """Whether a registry has it, as far as its scope's libraries are loaded."""
    scope, _, bare = name.rpartition(".")
    if scope not in ("", *_SCOPES):
        return False
    tops = [top for top in vars(root).values() if isinstance(top, root.Registry)]
    inner = [one for top in tops for own, one in top.children.items() if scope in ("", own)]
    return any(bare in registry.module_dict for registry in [*tops, *inner])


def _is_imported(name: str) -> bool:
    """Whether a dotted name is a network module's class in what is imported already."""
    place, _, bare = name.rpartition(".")
    found = getattr(sys.modules.get(place), bare, None)
    return inspect.isclass(found) and issubclass(found, nn.Module)


def _scoped(registry: root.Registry, name: str) -> str:
    """As a config names it: what the package brings under its scope, a user's own as it is."""
    ours = registry.module_dict[name].__module__.startswith("pinas_mm.")
    return f"pinas_mm.{name}" if ours else name


def built(registry: root.Registry, config: Any, what: str, kind: type) -> Any:
    """An object from its config or its type's name.

    Args:
        registry: one of ours.
        config: a name, or a dict with ``type`` and arguments.
        what: what the message calls it.
        kind: the class it must be of.

    Raises:
        UserError: the type is unknown or no such class, or does not take the arguments.
    """
    options = plain(config) if isinstance(config, Mapping) else dict(type=config)
    cls = find(registry, options.pop("type", None), what)
    # mmengine's mark on what comes from a base in another package.
    options.pop("_scope_", None)
    if dataclasses.is_dataclass(cls):
        # JSON knows no tuples, by which frozen descriptions compare and hash.
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    try:
        made = cls(**options)
    except TypeError as error:
        takes = ", ".join(inspect.signature(cls).parameters)
        raise UserError(
            f"{what}: {cls.__name__} does not take {options} ({error}); it takes {takes}"
        ) from error
    except UserError as error:
        raise UserError(f"{what}: {error}") from None
    if not isinstance(made, kind):
        raise UserError(f"{what}: {cls.__name__} is no {kind.__name__}")
    return made


def type_name(config: Mapping[str, Any]) -> str:
    """The bare name of a config's type, whether a scope goes before it or it is a class."""
    kind = config.get("type")
    return getattr(kind, "__name__", None) or str(kind).rpartition(".")[2]


def plain(value: Any) -> Any:
    """A config's dicts and lists as Python's own."""
    if dataclasses.is_dataclass(value):
        return value
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def parts(node: object, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All dicts of a config, however deep, with their keys joined by dots; the outer ones first."""
    if isinstance(node, dict):
        yield key, node
    inner = node.items() if isinstance(node, dict) else ()
    for name, child in enumerate(node) if isinstance(node, (list, tuple)) else inner:
        yield from parts(child, f"{key}.{name}" if key else str(name))


def dicts(node: object) -> Iterator[dict[str, Any]]:
    """The dicts of :func:`parts` without their keys."""
    return (part for _, part in parts(node))
