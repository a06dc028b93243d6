"""Reading checkpoints: safely, whole, and only into what they were made for."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import pickle
import secrets
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import torch
from filelock import FileLock
from torch import nn

from pinas_mm.compat import refused
from pinas_mm.errors import UserError
from pinas_mm.operations.plain_layers import of_file

# In place of a checkpoint, where a search or a ranking takes weights as they are drawn.
UNTRAINED = "untrained"
LONGEST_PATH = 4096
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def find_checkpoint(path: str | Path) -> Path:
    """The file that ``path`` means.

    Args:
        path: a file; a work dir, whose last good checkpoint is meant; or an http(s) address, which
            is downloaded once, to PyTorch's hub folder (``TORCH_HOME``).

    Raises:
        UserError: there is none, it is no path, or the file is truncated or damaged.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise UserError(f"checkpoint is {path!r}: give a .pth file, a work dir or an address")
    if "://" in str(path):
        return _downloaded(str(path))
    path = Path(path)
    if path.is_dir():
        return last_checkpoint(path)
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist: give a .pth file or a work dir")
    _check_whole(path, f"checkpoint {path}")
    return path


def read_checkpoint(path: str | Path, mmap: bool = False) -> dict[str, Any]:
    """Loads a checkpoint on the CPU without running code from it.

    What it says of its search space is marked as the file's, by
    :func:`~pinas_mm.operations.plain_layers.of_file`.

    Args:
        path: what :func:`find_checkpoint` takes.
        mmap: read tensors only when they are used; checks the rest in no time.

    Raises:
        UserError: it is missing, truncated or holds more than tensors and plain values.
    """
    path = find_checkpoint(path)
    mmap = mmap and not _is_legacy(path)
    refuse_tar(path)
    try:
        # PyTorch before 2.2 maps files by their names alone.
        content = torch.load(str(path), map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # Flipped bytes make the unpickler fail in any way.
        what = refused(error)
        if isinstance(error, pickle.UnpicklingError) and what:
            raise UserError(
                f"checkpoint {path} holds more than tensors and plain values ({what}) and is "
                "not loaded, since that could run code: where you trust it, save its state_dict "
                "alone"
            ) from error
        raise UserError(f"checkpoint {path} is damaged: take an earlier one") from error
    if not isinstance(content, dict):
        raise UserError(
            f"checkpoint {path} holds a {type(content).__name__}, not a dict of weights: give a "
            "checkpoint of a model"
        )
    _check_form(content, path)
    meta = content.get("meta")
    if isinstance(meta, dict) and "space" in meta:
        meta["space"] = of_file(meta["space"])
    return content


def _check_form(content: Mapping[str, Any], path: Path) -> None:
    """Holds what a checkpoint says of itself against what mmengine writes."""
    for part in ("state_dict", "meta", "message_hub", "optimizer"):
        value = content.get(part)
        if part in content and not isinstance(value, Mapping):
            raise UserError(
                f"checkpoint {path} is damaged: its {part} is a {type(value).__name__}, not a dict"
            )
    for name, value in content.get("state_dict", {}).items():
        if not isinstance(name, str):
            raise UserError(f"checkpoint {path} is damaged: one of its weights is named {name!r}")
        if not isinstance(value, torch.Tensor):
            raise UserError(
                f"checkpoint {path} is damaged: its weight {name} is a {type(value).__name__}, not "
                "a tensor"
            )


def state_dict(checkpoint: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights of a loaded checkpoint, whether bare or under ``state_dict``."""
    state = checkpoint.get("state_dict", checkpoint)
    return {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}


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


def under(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The part of a state dict under a prefix, which goes."""
    return {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}


def inner_state(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """What :func:`under` gives; all of a state dict where nothing has the prefix."""
    return under(state, prefix) or dict(state)


def _is_legacy(path: Path) -> bool:
    """Whether a file begins as PyTorch before 1.6 wrote checkpoints, as old releases are."""
    with path.open("rb") as file:
        return file.read(len(LEGACY_START)) == LEGACY_START


def last_checkpoint(work_dir: Path, files: Sequence[Path] | None = None) -> Path:
    """The last good checkpoint of a work dir.

    Args:
        work_dir: its ``last_checkpoint`` names a file, there or elsewhere.
        files: which to choose from where that one is not whole; None is all .pth files there.

    Raises:
        UserError: there is none.
    """
    pointer = work_dir / "last_checkpoint"
    said = pointer.read_bytes()[:LONGEST_PATH] if pointer.is_file() else b""
    named = Path(said.decode(errors="replace").strip().replace("\0", ""))
    # It may be cut off by a kill, and name the folder that this one was copied from: a work dir.
    elsewhere = named.parent != Path() and not os.path.exists(named.parent / pointer.name)
    there = work_dir.glob("*.pth") if files is None else files
    files = [path for path in there if path.is_file()]
    # The best so far is older than the last, and has no optimizer's state.
    newest = sorted(
        files, key=lambda p: (not p.name.startswith("best_"), p.stat().st_mtime), reverse=True
    )
    for path in [*[named] * elsewhere, work_dir / named.name, *newest]:
        # Not Path's, which raises for a name that is too long.
        if os.path.isfile(path) and _is_intact(path):
            return path
    lost = f" ({pointer.name} names {str(named)!r}, which is not there)" if named.name else ""
    raise UserError(f"no checkpoint in {work_dir}{lost}: train there first, or give a .pth file")


def _is_intact(path: Path) -> bool:
    """Whether what an archive holds has the checksums that it was written with."""
    stat = path.stat()
    return _has_its_checksums(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache
def _has_its_checksums(path: Path, *version: int) -> bool:
    """Reads a file once, however often it is asked for; ``version`` tells one from its next."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # Flipped bytes make zipfile and its decompressors fail in any way.
        return False


def _downloaded(url: str) -> Path:
    if not url.startswith(("http://", "https://")):
        raise UserError(f"checkpoint {url}: allowed are a file, a work dir and http(s) addresses")
    # Of the same name under two addresses are two checkpoints.
    name = f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{Path(urlsplit(url).path).name}"
    target = Path(torch.hub.get_dir(), "checkpoints", name)
    if target.is_file():  # Whose folder need not be writable.
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_kept(url, target.parent, error) from error
    with _downloading(target) as part:
        if not target.is_file():
            try:
                torch.hub.download_url_to_file(url, str(part), progress=False)
            except (OSError, HTTPException) as error:
                raise UserError(
                    f"cannot download checkpoint {url} ({error}): check the address, or download "
                    "it by hand and give the file"
                ) from error
            _check_whole(part, f"checkpoint {url}")
            part.replace(target)
    return target


@contextlib.contextmanager
def _downloading(target: Path) -> Iterator[Path]:
    """Gives a name beside a file to download to, once no other process of a machine does.

    Where the file system has no locks they do not wait, and each has a name of its own: a file in
    a lock's place would stay when its process is killed, and be waited for without end.

    Raises:
        UserError: nothing can be written there.
    """
    try:
        locks = _has_locks(target.parent)
    except OSError as error:
        raise _not_kept(target.name, target.parent, error) from error
    if locks:
        with FileLock(f"{target}.lock"):
            yield target.with_name(f".{target.name}.part")
        return
    own = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        yield own
    finally:
        own.unlink(missing_ok=True)


def _has_locks(folder: Path) -> bool:
    with tempfile.TemporaryFile(dir=folder, prefix=".", suffix=".writable") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # Nobody else has the file.
            return False
    return True


def _not_kept(checkpoint: str, folder: Path, error: OSError) -> UserError:
    return UserError(
        f"cannot keep checkpoint {checkpoint} in {folder} ({error.strerror}): TORCH_HOME names "
        "another folder"
    )


def refuse_tar(file: str | Path | IO[bytes]) -> None:
    """Refuses a tar archive, which PyTorch before 0.4 wrote.

    PyTorch before 2.6 loads it without asking whether weights alone are wanted (CVE-2025-32434),
    even where a zip archive stands at its end; later ones refuse it.

    Args:
        file: its path, or the open file.

    Raises:
        UserError: it is one.
    """
    if isinstance(file, (str, os.PathLike)):
        is_tar = os.path.isfile(file) and tarfile.is_tarfile(file)
    else:
        position = file.tell()
        is_tar = tarfile.is_tarfile(file)
        file.seek(position)
    if is_tar:
        raise UserError(
            f"checkpoint {getattr(file, 'name', file)} is a tar archive, as PyTorch before 0.4 "
            "wrote them, and is not loaded, since that could run code: where you trust it, save "
            "its weights again by torch.save"
        )


def _check_whole(path: Path, source: str) -> None:
    # PyTorch writes zip archives, whose directory stands at the end: what is cut off has none.
    if _is_legacy(path):
        return
    try:
        zipfile.ZipFile(path).close()
    except Exception as error:  # Flipped bytes make zipfile fail in any way.
        raise UserError(
            f"{source} is truncated or no PyTorch checkpoint ({path.stat().st_size} bytes): take "
            "an earlier one or download it again"
        ) from error
    if not _is_intact(path):
        raise UserError(
            f"{source} is damaged, its checksums are others than when it was written: take an "
            "earlier one or download it again"
        )
