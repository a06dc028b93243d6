"""The files and the folder to write: looked at before any work is done for them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from pinas_mm.errors import UserError
from pinas_mm.files import check_output, check_writable, put_back, write_output
from pinas_mm.weights.checkpoint import find_checkpoint

# What is asked by the command and from Python.
THERE = "is there already: give another name, or --force (from Python force=True) to replace it"


def check_outputs(
    targets: Sequence[str | Path | None], sources: Sequence[str | Path | None] = ()
) -> None:
    """Checks that files can be written, each under a name of its own that is not read.

    Args:
        targets: files to write; None is none.
        sources: files that are read, also by what is inherited, or work dirs for their last
            checkpoint; None is none.

    Raises:
        UserError: names the one at fault.
    """
    paths = [Path(target) for target in targets if target]
    for number, path in enumerate(paths):
        check_output(path)
        for other in paths[:number]:
            if path.resolve() == other.resolve():
                raise UserError(f"{path} is to be written twice: give every file its own name")
    for read in _read(sources) if paths else ():
        for path in paths:
            if path.resolve() == read.resolve():
                raise UserError(f"{path} is to be read and written: give another name")


def _read(sources: Sequence[str | Path | None]) -> Iterator[Path]:
    for source in sources:
        if source:
            yield find_checkpoint(source) if Path(source).is_dir() else Path(source)


def config_files(name: str | Path | None) -> list[str]:
    """The files that a config is read of: its own, and those that it inherits; None is none."""
    todo = [str(name)] if name else []
    found: list[str] = []
    while todo:
        file = todo.pop()
        if file in found or not Path(file).is_file():
            continue
        found.append(file)
        with contextlib.suppress(Exception):  # In the new style bases are imports.
            bases = Config._get_base_files(file)
            todo += [str(Path(file).parent / base) for base in bases if "::" not in base]
    return found


def write_json(path: str | Path, content: object) -> None:
    """Writes JSON of what was measured, tensors and arrays as lists.

    Raises:
        UserError: it cannot be written.
    """
    write_output(path, json.dumps(_plain(content), indent=2).encode() + b"\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return _plain(value.tolist())
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def check_targets(
    targets: Sequence[str | None],
    sources: Sequence[str | None] = (),
    force: bool = False,
    folder: str | None = None,
) -> None:
    """Checks that something is to be written, and all can be, over nothing that is there.

    Args:
        targets: files to write; None is none.
        sources: see :func:`check_outputs`.
        force: write over files that are there, but for sources.
        folder: for a whole model, to be written as a whole; with ``force`` over an earlier model,
            but over nothing else, and never over a source. None is none.

    Raises:
        UserError: names the one at fault.
    """
    paths = [Path(target) for target in targets if target]
    if not paths and not folder:
        raise UserError(
            "nothing to write: give at least one of --out, --model-out, --onnx and --torchscript"
        )
    if folder:
        _check_folder(Path(folder), paths, sources, force)
    check_outputs(paths, sources)
    for path in paths:
        if path.exists() and not force:
            raise UserError(f"{path} {THERE}")


def _check_folder(
    folder: Path, files: Sequence[Path], sources: Sequence[str | Path | None], force: bool
) -> None:
    put_back(folder.resolve())
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: --model-out takes a folder")
    name = folder.resolve().name
    there = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    others = [one for one in there if one not in (f"{name}.py", f"{name}.pth")]
    if others:
        raise UserError(
            f"{folder} holds {others[0]}, which is no file of a whole model there: give another "
            "folder, which need not be there yet"
        )
    # Before force is advised.
    for read in _read(sources):
        if folder.resolve() in read.resolve().parents:
            raise UserError(
                f"{folder} holds {read}, which is read, and would be replaced as a whole: give "
                "another folder"
            )
    if there and not force:
        raise UserError(f"{folder} {THERE}")
    for file in files:
        if folder.resolve() in file.resolve().parents:
            raise UserError(
                f"{file} lies in {folder}, which is written as a whole: put it elsewhere"
            )
    check_writable(folder.resolve().parent, "folder for --model-out")
