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
# In a candidate's config: a file says it.
OF_FILE = "_of_file_"


def find(registry: root.Registry, name: Any, what: str, kind: type | None = None) -> Any:
    """What is registered under a name, with or without our scope; a class is taken as it is.

    Args:
        registry: one of ours.
        name: its name; with ``kind`` also where a class of that kind is that was imported before,
            which is how :func:`name_of` writes one that is not registered.
        what: what the message calls it.
        kind: None is registered names alone.

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
    place = imported(str(name))
    if kind is not None and inspect.isclass(place) and issubclass(place, kind):
        return place
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
    found = looked_up(kind, scope, among)
    if found is None and "." in kind:
        with contextlib.suppress(ValueError):  # As '.name' has an empty one.
            found = get_object_from_string(kind)
    return found if callable(found) else None


def looked_up(name: str, scope: str | None, among: root.Registry | None) -> Any:
    """What a registry has under a name with or without a scope; None where none has."""
    said, _, bare = name.rpartition(".")
    if "." in said:
        return None
    scopes = [one for one in (said, scope, "pinas_mm") if one]
    for one in scopes:
        _load(one)
    every = [among] if among else vars(root).values()
    tops = [top for top in every if isinstance(top, root.Registry)]
    if said not in ("", *SCOPES) and not any(said in top.children for top in tops):
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
        known = _is_loaded(kind) or (scope in SCOPES and looked_up(kind, None, None) is not None)
        if not known and not _is_imported(kind):
            raise UserError(
                f"{what}: type {kind} is unknown, and nothing is imported for it: one of your own "
                "is known once its file is among the config's custom_imports"
            )


SCOPES = ("mmengine", "mmcv", "mmpretrain", "mmdet", "mmseg", "pinas_mm")


def _is_loaded(name: str) -> bool:
    """Whether a registry has it, as far as its scope's libraries are loaded."""
    scope, _, bare = name.rpartition(".")
    if scope not in ("", *SCOPES):
        return False
    tops = [top for top in vars(root).values() if isinstance(top, root.Registry)]
    inner = [one for top in tops for own, one in top.children.items() if scope in ("", own)]
    return any(bare in registry.module_dict for registry in [*tops, *inner])


def _is_imported(name: str) -> bool:
    """Whether a dotted name is a network module's class in what is imported already."""
    found = imported(name)
    return inspect.isclass(found) and issubclass(found, nn.Module)


def imported(name: str) -> Any:
    """What a dotted name is in what is imported already; None where it is nothing."""
    place, _, bare = name.rpartition(".")
    return getattr(sys.modules.get(place), bare, None)


def name_of(kind: Any, among: root.Registry | None = None) -> str:
    """A class or function as a text that a config and a checkpoint can hold.

    Args:
        kind: the class or function.
        among: the registry of ours that it is looked up in; None is all there are.

    Returns:
        The name that it is registered under, with its scope; where it is not registered, where it
        is, as ``torch.nn.modules.activation.SiLU``, which is found while that is imported.
    """
    if among is not None:
        among.import_from_location()
    ours = [one for one in globals().values() if isinstance(one, root.Registry)]
    for registry in [among] if among is not None else [one for one in ours if one.parent is None]:
        for name, one in registry.module_dict.items():
            if one is kind:
                return _scoped(registry, name)
    tops = [top for top in vars(root).values() if isinstance(top, root.Registry)]
    inner = [pair for top in tops for pair in top.children.items()]
    for scope, registry in [*(("mmengine", top) for top in tops), *inner]:
        for name, one in registry.module_dict.items():
            if one is kind and scope in SCOPES and "." not in name:
                return f"{scope}.{name}"
    return f"{kind.__module__}.{kind.__qualname__}"


def written(value: Any) -> Any:
    """:func:`plain` for what is written down: each class and function by its name."""
    value = plain(value)
    if isinstance(value, Mapping):
        return {key: written(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(written, value))
    return name_of(value) if inspect.isclass(value) or inspect.isfunction(value) else value


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
    options = dict(config) if isinstance(config, Mapping) else dict(type=config)
    cls = find(registry, options.pop("type", None), what, kind)
    options = plain(options)
    # mmengine's mark on what comes from a base in another package.
    options.pop("_scope_", None)
    files = options.pop(OF_FILE, False)
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
    if files:
        # Not an argument: it is the same operation, and frozen.
        object.__setattr__(made, "of_file", True)
    return made


def type_name(config: Mapping[str, Any]) -> str:
    """The bare name of a config's type, whether a scope goes before it or it is a class."""
    kind = config.get("type")
    return getattr(kind, "__name__", None) or str(kind).rpartition(".")[2]


def plain(value: Any) -> Any:
    """A config's dicts and lists as Python's own, and classes that are types by their names.

    A class that no name leads to, as one inside of a function, stays.
    """
    if dataclasses.is_dataclass(value):
        return value
    if isinstance(value, Mapping):
        return {k: _type_text(v) if k == "type" else plain(v) for k, v in value.items()}
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def _type_text(kind: Any) -> Any:
    """A type as a text, where the text leads back to it."""
    if not (inspect.isclass(kind) or inspect.isfunction(kind)):
        return plain(kind)
    name = name_of(kind)
    is_registered = name.rpartition(".")[0] in ("", *SCOPES)
    return name if is_registered or imported(name) is kind else kind


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
