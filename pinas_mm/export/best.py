"""The winners of a finished search."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from pinas_mm.errors import UserError
from pinas_mm.space import SearchSpace


@dataclasses.dataclass(frozen=True)
class Found:
    """An entry of a search's ``best.json``.

    Attributes:
        arch: the architecture, in text form.
        space: the search space.
        checkpoint: of the supernet, as the search was given it; may be empty.
    """

    arch: str
    space: SearchSpace
    checkpoint: str


def read_best(path: str | Path, rank: int = 1) -> Found:
    """The architecture of a rank in a search's ``best.json``.

    Args:
        path: the search's work dir, or the file.
        rank: from 1, the best.

    Raises:
        UserError: there is no such file or rank, or the file is damaged.
    """
    path = Path(path)
    path = path / "best.json" if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the work dir of a finished search")
    try:
        content = json.loads(path.read_bytes())
        archs = {entry["rank"]: str(entry["arch"]) for entry in content["best"]}
        space, checkpoint = SearchSpace.build(content["space"]), str(content["checkpoint"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged or not a search's ({error!r}): search again in that work dir, "
            "which writes it anew"
        ) from error
    if rank not in archs:
        raise UserError(f"{path} has no rank {rank}: allowed are 1 to {len(archs)}")
    return Found(archs[rank], space, checkpoint)
