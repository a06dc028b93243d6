"""What a checkpoint says of its network, in ``meta``: written, and held against another network."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log

from pinas_mm.errors import UserError, reason
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.models.network import Network
from pinas_mm.operations import Operation
from pinas_mm.operations.norms import check_same_norm
from pinas_mm.registry import OF_FILE, OPERATIONS, SKELETONS, check_known, dicts, imported, written
from pinas_mm.skeletons import Skeleton
from pinas_mm.space import Arch, SearchSpace

# What a network may have otherwise than the space that its weights are of.
PLACED = ("strides", "dilations")
# What a stand-alone network is built from.
FACTS = ("arch", "space", "in_channels", "norm_cfg", *PLACED)


def network_facts(network: Network) -> dict[str, Any]:
    """What a checkpoint is to say of its network: those of :data:`FACTS` that it has.

    A supernet has no ``arch``; its strides and dilations are its config's to say.
    """
    facts = dict(
        space=network.space.to_dict(),
        in_channels=network.in_channels,
        norm_cfg=written(network.norm_cfg),
    )
    if not isinstance(network, PiNASBackbone):
        return facts
    placed = {name: getattr(network, name) for name in PLACED}
    own = {name: [*map(int, value)] for name, value in placed.items() if value is not None}
    return dict(arch=str(network.arch), **facts, **own)


def check_meta(network: Network, meta: Any, source: str) -> None:
    """Holds a network against what a checkpoint says of the one that its weights are of.

    Shapes show neither strides nor a stem's pooling, nor all that a candidate computes by, nor a
    norm's eps. What the checkpoint does not say is not asked. Strides of the space are compared
    for a stand-alone network's weights: a supernet's serve at other ones too. A network's own
    strides and dilations may differ, which is printed.

    Args:
        network: that the weights are for.
        meta: the checkpoint's; anything but a dict says nothing.
        source: what the messages call it.

    Raises:
        UserError: space, architecture or norms are others, or no such thing; says what differs.
    """
    meta = meta if isinstance(meta, Mapping) else {}
    # What says the same need not be built: its classes may have no name that leads to them.
    same = meta.get("space") and _listed(meta["space"]) == _listed(network.space.to_dict())
    theirs = network.space if same else said_space(meta, source)
    if theirs is not None:
        _check_space(network.space, theirs, meta, source)
        if isinstance(network, PiNASBackbone) and meta.get("arch"):
            own, said = _comparable(network.space), _comparable(theirs)
            # A converted file's candidates may be numbered otherwise.
            if all(own[part] == said[part] for part in ("candidates", "depths")):
                check_arch(network, theirs.arch(meta["arch"]), source)
    check_same_norm(network, meta.get("norm_cfg"), source)
    _tell_placed(network, meta, source)


def said_space(meta: Mapping[str, Any], source: str) -> SearchSpace | None:
    """The search space that a checkpoint says; None where it says none. Nothing is imported for it.

    Raises:
        UserError: it cannot be built.
    """
    said = meta.get("space")
    if said is None:
        return None
    try:
        if not isinstance(said, Mapping):
            raise TypeError(f"it is {said!r}")
        return SearchSpace.build(dict(said))
    except (UserError, TypeError, ValueError) as error:  # It may be any file's.
        raise UserError(
            f"{source} says of its search space what gives none ({reason(error)}): import what it "
            "is built of by the config's custom_imports, or take another checkpoint"
        ) from error


def check_types(facts: Mapping[str, Any], what: str) -> None:
    """Checks that building a network by what a file says imports nothing.

    Args:
        facts: some of :data:`FACTS`.
        what: what the message calls them.

    Raises:
        UserError: a type is no operation, skeleton or module that is known here.
    """
    for registry in (OPERATIONS, SKELETONS):
        registry.import_from_location()
    ours = {*OPERATIONS.module_dict, *SKELETONS.module_dict}
    for part in dicts(facts):
        kind = str(part.get("type"))
        place = imported(kind)
        of_space = inspect.isclass(place) and issubclass(place, (Operation, Skeleton))
        # Those are looked up in registries of their own.
        if kind.removeprefix("pinas_mm.") not in ours and not of_space:
            check_known(dict(type=part.get("type")), what)


def check_arch(backbone: PiNASBackbone, theirs: Arch | None, source: str) -> None:
    """Raises :class:`UserError` for weights of another architecture, with the first block that
    differs; None is of an unknown one.
    """
    ours = backbone.arch
    if theirs is None or theirs == ours:
        return
    number = next(
        n for n, (one, other) in enumerate(zip(theirs, ours, strict=True)) if one != other
    )
    raise UserError(
        f"{source} is of architecture {theirs}, not {ours}: at block {number} "
        f"({backbone.specs[number].name}), the first that differs, it has candidate "
        f"{theirs[number]}, not {ours[number]}; set arch='{theirs}', or give another checkpoint"
    )


def _check_space(
    space: SearchSpace, said: SearchSpace, meta: Mapping[str, Any], source: str
) -> None:
    # A converted file's space was read off the shapes and says no more than they do.
    if "kind" in meta:
        return
    ours, theirs = _comparable(space), _comparable(said)
    # What else may stand in a block changes no weight of what does.
    left_out = {"allowed"} if meta.get("arch") else {"allowed", "strides"}
    for part, own in ours.items():
        other: Any = theirs.get(part)
        if part in left_out or other == own:
            continue
        if part == "candidates" and len(other) == len(own):
            number = next(n for n, one in enumerate(own) if other[n] != one)
            part, other, own = f"candidate {number}", other[number], own[number]
        raise UserError(
            f"{source} is of another search space: its {part} is {other}, not {own}; give the "
            "network the space that the weights were trained with"
        )


def _comparable(space: SearchSpace) -> dict[str, Any]:
    """A space's parts, equal where they compute the same."""
    # The skeleton that a space has unless it says otherwise.
    facts = dict(skeleton="pinas_mm.ResNeStSkeleton") | space.to_dict()
    for candidate in facts["candidates"]:
        if isinstance(candidate, dict) and candidate.get("type") == "pinas_mm.Module":
            candidate.pop("name", None)  # Pages and figures call it so.
    return {part: _listed(value) for part, value in facts.items()}


def same_space(one: SearchSpace, other: SearchSpace) -> bool:
    """Whether two spaces have the same architectures, wherever each has been read."""
    return _comparable(one) == _comparable(other)


def _listed(value: Any) -> Any:
    """With lists for tuples, which JSON does not know, and without the mark of a file."""
    if isinstance(value, Mapping):
        return {key: _listed(inner) for key, inner in value.items() if key != OF_FILE}
    return [_listed(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _tell_placed(network: Network, meta: Mapping[str, Any], source: str) -> None:
    usual = dict(strides=network.space.strides, dilations=(1,) * network.num_stages)
    for name in PLACED:
        said, own = meta.get(name), list(getattr(network, name) or usual[name])
        if isinstance(said, (list, tuple)) and list(said) != own:
            print_log(
                f"{source} is of a network with {name} {list(said)}; this one has {own}, which "
                "are taken",
                "current",
            )
