"""The config of a whole model with one architecture, from the config of its supernet."""

from __future__ import annotations

import copy
import inspect
from typing import Any

from mmengine.config import Config, ConfigDict

from pinas_mm.algorithms.single_path import SinglePath
from pinas_mm.errors import UserError
from pinas_mm.export.subnet import SUPERNET, network_configs, without_pools
from pinas_mm.models.initial_weights import loader_type
from pinas_mm.registry import dicts, plain, registered, type_name
from pinas_mm.space import SearchSpace

# What works on a supernet only, and what stands in its place.
LOOPS = {"SupernetValLoop": "ValLoop", "SupernetTestLoop": "TestLoop"}
HOOKS = ("ArchSearchHook", "ShiftHook")
WRAPPERS = ("PathDataParallel",)
# Before the names of a SinglePath's parameters.
WITHIN = "model."


def stand_alone_config(cfg: Config, arch: Any) -> Config:
    """Takes a model out of its :class:`~pinas_mm.algorithms.SinglePath`, with one architecture.

    The supernet becomes a :class:`~pinas_mm.models.PiNASBackbone` that computes what the path does;
    loops are the ordinary ones. What searches or measures a supernet goes, and initializations
    that load, since a weights file comes with it (:func:`~pinas_mm.export.hand_over`). A
    ``freeze_backbone`` goes too. Data, schedule and all else stay.

    Args:
        cfg: of a supernet's training, test or search.
        arch: the architecture, in any form that :meth:`SearchSpace.arch` reads.

    Returns:
        A config of its own.

    Raises:
        UserError: the config's model is no SinglePath around a model with one supernet, or the
            architecture is none of its space.
    """
    _check(cfg)
    config = copy.deepcopy(cfg)
    wrapper, config.model = config.model, config.model.model
    if wrapper.get("data_preprocessor") and not config.model.get("data_preprocessor"):
        config.model.data_preprocessor = wrapper.data_preprocessor
    without_loads(config.model)
    (network,) = _supernets(config)
    backbone = _backbone(network, arch)
    network.clear()
    network.update(ConfigDict(backbone))
    said = config.get("space")
    if said and SearchSpace.build(plain(said)) != SearchSpace.build(backbone["space"]):
        config.space = backbone["space"]
    for key in ("val_cfg", "test_cfg"):
        loop = config.get(key) or {}
        if type_name(loop) in LOOPS:
            kept = {"fp16": loop["fp16"]} if "fp16" in loop else {}
            config[key] = dict(type=LOOPS[type_name(loop)], **kept)
    hooks = config.get("custom_hooks") or []
    if any(type_name(hook) in HOOKS for hook in hooks):
        config.custom_hooks = [hook for hook in hooks if type_name(hook) not in HOOKS]
    if type_name(config.get("model_wrapper_cfg") or {}) in WRAPPERS:
        config.model_wrapper_cfg = None
    if config.get("search"):
        config.search = None
    if config.get("resume"):
        config.resume = False
    imports = config.get("custom_imports") or dict(imports=[], allow_failed_imports=False)
    # mmengine takes a single one's name too.
    named = imports["imports"]
    named = [named] if isinstance(named, str) else named
    if "pinas_mm" not in named:
        config.custom_imports = dict(imports, imports=[*named, "pinas_mm"])
    for part in dicts(config.get("optim_wrapper") or {}):
        keys = part.get("custom_keys") or {}
        bare = {key: value for key, value in keys.items() if not key.startswith(WITHIN)}
        if len(bare) < len(keys):
            # Of both forms of a name the longer one went before.
            within = {k.removeprefix(WITHIN): v for k, v in keys.items() if k not in bare}
            part["custom_keys"] = {**bare, **within}
    return config


def without_loads(model: dict[str, Any]) -> None:
    """Leaves of a model's initializations those that draw; what loads goes.

    Args:
        model: its config, however deep; changed in place.
    """
    for part in list(dicts(model)):
        init = part.get("init_cfg") or ()
        inits = list(init) if isinstance(init, (list, tuple)) else [init]
        drawn = [one for one in inits if not loader_type(one)]
        if drawn and len(drawn) < len(inits):
            part["init_cfg"] = drawn
        elif inits and not drawn:
            # A part's own initialization, not none.
            del part["init_cfg"]


def _check(cfg: Config) -> None:
    model = cfg.get("model") or {}
    kind = model.get("type")
    cls = registered(kind, cfg.get("default_scope"))
    supernets = len(_supernets(cfg))
    if not (inspect.isclass(cls) and issubclass(cls, SinglePath)):
        advice = (
            "of a supernet that is trained without a task's model the backbone alone can be "
            "written, by --out"
            if supernets
            else "give the config that the supernet was trained or searched with"
        )
        raise UserError(
            f"the model of config {cfg.filename} is {kind}: a whole model is taken out of "
            f"pinas_mm.SinglePath; {advice}"
        )
    if supernets != 1:
        raise UserError(
            f"the model of config {cfg.filename} has {supernets} parts of type "
            "pinas_mm.PiNASSupernet: exactly one is allowed"
        )


def _backbone(network: dict[str, Any], arch: Any) -> dict[str, Any]:
    """A PiNASBackbone's config that computes what a supernet does on a path."""
    options = plain(network)
    space = SearchSpace.build(options.pop("space", None))
    strides, dilations = options.pop("strides", None), options.get("dilations")
    space, strides = without_pools(space, strides, dilations)
    if strides is not None:
        options["strides"] = strides
    if options.get("out_indices") is None:
        options["out_indices"] = (len(space.depths) - 1,)
    kept = {name: options[name] for name in options if name != "type"}
    arch = str(space.arch(arch))
    return dict(type="pinas_mm.PiNASBackbone", arch=arch, space=space.to_dict(), **kept)


def _supernets(cfg: Config) -> list[dict[str, Any]]:
    """The configs of all supernets in a config's model."""
    return [one for one in network_configs(cfg) if type_name(one) == SUPERNET]
