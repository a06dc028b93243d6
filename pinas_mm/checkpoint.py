"""Reading checkpoints: safely, whole, and only into what they were made for."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import nn

from pinas_mm.errors import UserError
from pinas_mm.models.backbone import PiNASBackbone
from pinas_mm.models.supernet import PiNASSupernet
from pinas_mm.registry import WEIGHT_INITIALIZERS
from pinas_mm.subnet import is_supernet, subnet_state

LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def find_checkpoint(path: str | Path) -> Path:
    """The file that ``path`` means: itself, or the last good checkpoint of a work dir.

    Raises:
        UserError: there is none, or the file is truncated.
    """
    path = Path(path)
    if path.is_dir():
        return _last_checkpoint(path)
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist: give a .pth file or a work dir")
    # PyTorch writes zip archives, whose directory stands at the end: what is cut off has none.
    if not zipfile.is_zipfile(path) and not _is_legacy(path):
        raise UserError(
            f"checkpoint {path} is truncated or no PyTorch checkpoint ({path.stat().st_size} "
            "bytes): take an earlier one or download it again"
        )
    return path


def read_checkpoint(path: str | Path, mmap: bool = False) -> dict[str, Any]:
    """Loads a checkpoint on the CPU without running code from it.

    Args:
        path: a file, or a work dir whose last checkpoint is meant.
        mmap: read tensors only when they are used; checks the rest in no time.

    Raises:
        UserError: it is missing, truncated or holds more than tensors and plain values.
    """
    path = find_checkpoint(path)
    mmap = mmap and not _is_legacy(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # Flipped bytes make the unpickler fail in any way.
        found = re.search(r"GLOBAL (\S+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and found:
            raise UserError(
                f"checkpoint {path} holds more than tensors and plain values ({found[1]}) and is "
                "not loaded, since that could run code: where you trust it, save its state_dict "
                "alone"
            ) from error
        raise UserError(f"checkpoint {path} is damaged: take an earlier one") from error
    if not isinstance(content, dict):
        raise UserError(
            f"checkpoint {path} holds a {type(content).__name__}, not a dict of weights: give a "
            "checkpoint of a model"
        )
    return content


def state_dict(checkpoint: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights of a loaded checkpoint, whether bare or under ``state_dict``."""
    return dict(checkpoint.get("state_dict", checkpoint))


def check_fits(module: nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Raises :class:`UserError` unless ``state`` has exactly the module's keys and shapes."""
    wanted = module.state_dict()
    missing = [key for key in wanted if key not in state]
    left_over = [key for key in state if key not in wanted]
    reshaped = [
        f"{key} has {list(state[key].shape)}, not {list(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    faults = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for what, keys in (
            ("keys missing", missing),
            ("left over", left_over),
            ("of another shape", reshaped),
        )
        if keys
    ]
    if faults:
        raise UserError(
            f"{source} does not fit {type(module).__name__}: {'; '.join(faults)}; it is of another "
            "search space or another kind (see tools/convert.py for the release's)"
        )


def inner_state(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The part of a state dict under a prefix, which goes; all of it where nothing has it."""
    inner = {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
    return inner or dict(state)


def load_subnet(backbone: PiNASBackbone, supernet: Mapping[str, torch.Tensor], source: str) -> None:
    """Loads a backbone's architecture from the state dict of a supernet of its search space.

    Args:
        backbone: the stand-alone network, of any strides and dilations.
        supernet: the supernet's weights.
        source: what the messages call it.

    Raises:
        UserError: the weights are not a whole supernet's of this space; says what differs.
    """
    if not is_supernet(supernet):
        raise UserError(
            f"{source} holds no supernet to cut a subnet from: its keys have no candidates, as "
            "layer1.0.2.conv1.weight has. A stand-alone network's weights load by "
            "init_cfg=dict(type='Pretrained', checkpoint=...)"
        )
    with torch.device("meta"):
        whole = PiNASSupernet(
            backbone.space, backbone.conv1[0].in_channels, norm_cfg=backbone.norm_cfg
        )
    check_fits(whole, supernet, source)
    selected = subnet_state(supernet, backbone.arch, backbone.space)
    check_fits(backbone, selected, source)  # Other strides can leave a shortcut out.
    backbone.load_state_dict(selected)


@WEIGHT_INITIALIZERS.register_module()
class FromSupernet:
    """Initializes from a checkpoint of this package that contains a supernet.

    For ``init_cfg=dict(type='pinas_mm.FromSupernet', checkpoint=...)`` of a supernet, or of a
    stand-alone backbone, which takes its architecture's part.

    Args:
        checkpoint: a file, or a work dir whose last checkpoint is meant.
        prefix: of the supernet's keys in it; a checkpoint without such keys is taken as the
            supernet's own.

    Raises:
        UserError: the checkpoint cannot be read or is not of the module's search space.
    """

    def __init__(self, checkpoint: str, prefix: str = "backbone.") -> None:
        self.checkpoint, self.prefix = checkpoint, prefix

    def __call__(self, module: PiNASSupernet | PiNASBackbone) -> None:
        """Loads the weights."""
        path = find_checkpoint(self.checkpoint)
        state = inner_state(state_dict(read_checkpoint(path)), self.prefix)
        if isinstance(module, PiNASBackbone):
            load_subnet(module, state, f"checkpoint {path}")
            print_log(f"architecture {module.arch} of the supernet from {path}", logger="current")
            return
        check_fits(module, state, f"checkpoint {path}")
        module.load_state_dict(state)
        print_log(f"supernet from {path}", logger="current")


def _is_legacy(path: Path) -> bool:
    """Whether a file begins as PyTorch before 1.6 wrote checkpoints, as old releases are."""
    with path.open("rb") as file:
        return file.read(len(LEGACY_START)) == LEGACY_START


def _last_checkpoint(work_dir: Path) -> Path:
    pointer = work_dir / "last_checkpoint"
    named = [Path(pointer.read_text().strip())] if pointer.is_file() else []
    # The pointer may name a path of another machine, or be cut off by a kill.
    named += [work_dir / path.name for path in named]
    newest = sorted(work_dir.glob("*.pth"), key=lambda p: p.stat().st_mtime, reverse=True)
    for path in [*named, *newest]:
        if path.is_file() and zipfile.is_zipfile(path):
            return path
    raise UserError(f"no checkpoint in {work_dir}: train there first, or give a .pth file")
