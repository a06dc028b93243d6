"""From a published checkpoint to one that our models load strictly."""

from __future__ import annotations

import dataclasses
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DefaultScope

from pinas_mm.convert.classifier import Classifier
from pinas_mm.convert.deeplabv3 import DeepLabV3
from pinas_mm.convert.infer_space import infer_space
from pinas_mm.convert.kind import Kind, share_shortcuts
from pinas_mm.convert.layout import Layout, read_layout
from pinas_mm.convert.mask_rcnn import MaskRCNN
from pinas_mm.convert.source import (
    allow_numpy,
    check_names,
    check_not_empty,
    listing,
    unwrap,
)
from pinas_mm.convert.supernet import Supernet
from pinas_mm.convert.training import Training
from pinas_mm.errors import UserError
from pinas_mm.files import write_output
from pinas_mm.space import Arch, SearchSpace
from pinas_mm.weights.checkpoint import check_fits, read_checkpoint

# The first that recognizes a checkpoint has it.
KINDS: tuple[Kind, ...] = (Training(), DeepLabV3(), MaskRCNN(), Supernet(), Classifier())

POOLS = (
    "blocks are taken to pool after their 3x3 convolution, not before it as ResNeSt's fast "
    "variants do (--avd-first)"
)


@dataclasses.dataclass(frozen=True)
class Converted:
    """A converted checkpoint.

    Args:
        state_dict: the weights under our models' names.
        kind: what the source was.
        space: the search space that the shapes show (see :func:`infer_space`).
        arch: the architecture of a stand-alone network, None for a supernet.
    """

    state_dict: dict[str, torch.Tensor]
    kind: str
    space: SearchSpace
    arch: Arch | None

    def meta(self, source: str) -> dict[str, Any]:
        """What the written checkpoint says about itself: plain values."""
        arch = str(self.arch) if self.arch is not None else None
        return dict(kind=self.kind, source=source, arch=arch, space=self.space.to_dict())

    def __str__(self) -> str:
        subject = f"architecture {self.arch}" if self.arch is not None else "supernet"
        paper = self.space == SearchSpace()
        space = "the paper's space" if paper else f"a space of {self.space}"
        tensors = f"{len(self.state_dict)} tensors"
        notes = [] if paper else ["strides and stem pooling are guessed"]
        # Published supernets are Pi-NAS's, which pool after it.
        pools_after = not getattr(self.space.candidates[0], "avd_first", False)
        if self.arch is not None and pools_after:
            notes.append(POOLS)
        hidden = f" (weights do not show all: {'; '.join(notes)})" if notes else ""
        return f"{self.kind}, {tensors}, {subject} of {space}{hidden}"


def convert_file(
    source: str | Path, target: str | Path, force: bool = False, avd_first: bool = False
) -> Converted:
    """Converts a checkpoint file; the target is written whole or not at all.

    The target holds ``state_dict`` and ``meta`` (``kind``, ``source``, ``arch``, ``space``).

    Args:
        source: the published checkpoint or its http(s) address, read without running code from it.
        target: the file to write.
        force: overwrite the target.
        avd_first: see :func:`convert_state`.

    Raises:
        UserError: the source is not readable, of no known kind or not whole; the target exists
            or cannot be written.
    """
    target = Path(target)
    if target.is_dir() or (target.exists() and not force):
        hint = "give a file name" if target.is_dir() else "give another name, or --force"
        raise UserError(f"{target} exists already: {hint}")
    if target.exists() and Path(source).exists() and target.samefile(source):
        raise UserError(f"{target} is the source itself: give another name")
    with allow_numpy():
        checkpoint = read_checkpoint(source)
    converted = convert_state(checkpoint, f"checkpoint {source}", avd_first)
    buffer = io.BytesIO()
    meta = converted.meta(Path(source).name)
    torch.save(dict(state_dict=converted.state_dict, meta=meta), buffer)
    write_output(target, buffer.getvalue(), force)
    return converted


def convert_state(
    checkpoint: Mapping[str, Any], source: str = "the checkpoint", avd_first: bool = False
) -> Converted:
    """Converts a loaded checkpoint; its tensors are kept, not copied.

    Args:
        checkpoint: a state dict, bare or wrapped.
        source: what the messages call it.
        avd_first: whether it is one of ResNeSt's fast variants, whose striding blocks pool before
            their 3x3 convolution; their weights look like the others'.

    Raises:
        UserError: it is of no known kind; keys are missing or left over; shapes do not fit
            together; copies of the same weights differ.
    """
    state = unwrap(checkpoint, source)
    kind = next((kind for kind in KINDS if kind.recognizes(state)), None)
    if kind is None:
        ours = " (converted already, it seems)" if "backbone.conv1.0.weight" in state else ""
        raise UserError(
            f"{source} is none of {', '.join(kind.name for kind in KINDS)}{ours}: its keys are "
            f"{listing(list(state))}"
        )
    state = kind.complete(state)
    bare = _bare_names(kind, state)
    layout = read_layout(bare, kind.supernet)
    others = kind.others(layout)
    prefixes = [*kind.backbones, *kind.duplicates]
    names = [prefix + kind.to_source(name) for prefix in prefixes for name in layout.names()]
    check_names(state, [*names, *others], source, kind.name)
    check_not_empty(state, source)
    _check_duplicates(kind, state, layout, source)
    renamed = {
        ours + name: state[theirs + kind.to_source(name)]
        for theirs, ours in kind.backbones.items()
        for name in layout.names()
    }
    if kind.supernet:
        for ours in kind.backbones.values():
            share_shortcuts(renamed, ours, layout)
    renamed |= {ours: state[theirs] for theirs, ours in others.items()}
    backbone = next(iter(kind.backbones))
    weights = {name: state[backbone + kind.to_source(name)] for name in layout.names()}
    try:
        space, arch = infer_space(weights, layout, avd_first)
    except UserError as error:
        raise UserError(f"{source} is not a whole {kind.name}: {error}") from error
    channels = weights["conv1.0.weight"].shape[1]
    with torch.device("meta"), warnings.catch_warnings():
        # mmseg warns about its own calls whenever it builds a head.
        warnings.simplefilter("ignore")
        # Not the caller's scope: a process that uses mmseg or mmdet converts as well.
        with DefaultScope.overwrite_default_scope("mmpretrain"):
            reference = kind.reference(renamed, space, arch, channels)
    check_fits(reference, renamed, source)
    return Converted(renamed, kind.name, space, arch)


def _bare_names(kind: Kind, state: Mapping[str, torch.Tensor]) -> set[str]:
    """Names in any of the backbones, so that what one of them lacks shows in another."""
    bare = {
        kind.from_source(name.removeprefix(prefix))
        for prefix in [*kind.backbones, *kind.duplicates]
        for name in state
        if name.startswith(prefix)
    }
    return {name for name in bare if name is not None}


def _check_duplicates(
    kind: Kind, state: Mapping[str, torch.Tensor], layout: Layout, source: str
) -> None:
    for second, first in kind.duplicates.items():
        differing = [
            second + name
            for name in layout.names()
            if not torch.equal(state[second + name], state[first + name])
        ]
        if differing:
            count = f"{len(differing)} {'keys differ' if len(differing) > 1 else 'key differs'}"
            raise UserError(
                f"{source} has two versions of the same weights: {count} from {first} "
                f"({listing(differing)})"
            )
