"""The winners of a finished search."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

from mmengine.config import Config

from pinas_mm.errors import UserError
from pinas_mm.export.config_text import GONE, changes, read_literals
from pinas_mm.export.subnet import read_space, without_pools
from pinas_mm.files import file_sha256
from pinas_mm.operations.plain_layers import of_file
from pinas_mm.space import SearchSpace
from pinas_mm.weights.checkpoint import UNTRAINED
from pinas_mm.weights.meta import said_space, same_space


@dataclasses.dataclass(frozen=True)
class Found:
    """An entry of a search's ``best.json``.

    Attributes:
        arch: the architecture, in text form.
        space: the search space.
        file: the ``best.json``.
        source: what it says of the supernet's checkpoint.
    """

    arch: str
    space: SearchSpace
    file: Path
    source: dict[str, Any]

    def check_config(self, cfg: Config) -> None:
        """Holds a config against the one that the search ran with, of which it left a copy.

        Raises:
            UserError: the space is another, or the model; says which settings differ.
        """
        space, _ = read_space(cfg)
        if not same_space(space, self.space):
            raise UserError(
                f"{self.file} is of a search in {self.space}, config {cfg.filename} has {space}: "
                "give the config of the search, with its --cfg-options"
            )
        copy = self.file.parent / Path(cfg.filename or "").name
        if not cfg.filename or not copy.is_file() or copy.samefile(cfg.filename):
            return
        # Read, not run: the folder may be another's.
        ran = read_literals(copy)["model"]
        given = cfg.to_dict()["model"]
        # A search takes a checkpoint's weights whatever initializes the model.
        found = [
            (".".join(map(str, ("model", *place))), value)
            for place, value in changes(given, ran)
            if "init_cfg" not in place
        ]
        if found:
            options = " ".join(f"{key}={value}" for key, value in found if value is not GONE)
            raise UserError(
                f"the search ran with another model than config {cfg.filename} has, different in "
                f"{', '.join(key for key, _ in found)}: give its options again"
                + (f", --cfg-options {options}" if options else "")
            )

    @property
    def network(self) -> dict[str, Any]:
        """What the search's architectures are built by, as far as the file says it: arguments of
        :func:`~pinas_mm.export.subnet.subnet_of`.
        """
        if "strides" not in self.source:
            return dict(space=self.space)
        strides, dilations = self.source["strides"], self.source["dilations"]
        space, strides = without_pools(self.space, strides, dilations)
        return dict(space=space, strides=strides, dilations=dilations)

    @property
    def image_size(self) -> list[int] | None:
        """Height and width of the images that the search counted costs for, where it says so."""
        return self.source.get("image_size")

    @functools.cached_property
    def checkpoint(self) -> str:
        """The supernet's checkpoint, wherever the folders lie now; may be empty.

        Raises:
            UserError: the file is no longer the one that was searched, or there never was one.
        """
        given, wanted = str(self.source["checkpoint"]), self.source.get("checkpoint_sha256")
        if given == UNTRAINED:
            raise UserError(
                f"{self.file} is of a search of untrained weights, which are worth nothing: train "
                f"{self.arch} from scratch, or give trained weights of this space as --supernet"
            )
        from_here = self.source.get("checkpoint_from_here")
        places = [self.file.parent / str(from_here)] if from_here else []
        places = [place.resolve() for place in [*places, Path(given)] if place.is_file()]
        if not wanted or not places:
            return given
        for place in dict.fromkeys(places):
            if file_sha256(place) == wanted:
                return str(place)
        raise UserError(
            f"{places[0]} is no longer the checkpoint that {self.file} was found with: search "
            "again, or give the weights to take as --supernet"
        )


def read_best(path: str | Path, rank: int = 1) -> Found:
    """The architecture of a rank in a search's ``best.json``.

    Args:
        path: the search's work dir, or the file.
        rank: from 1, the best.

    Raises:
        UserError: there is no such file or rank, the file is damaged, or its space is built of what
            nobody has imported.
    """
    path = Path(path)
    path = path / "best.json" if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the work dir of a finished search")
    try:
        content = json.loads(path.read_bytes())
        archs = {entry["rank"]: str(entry["arch"]) for entry in content["best"]}
        said, _ = content["space"], content["checkpoint"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged or not a search's ({error!r}): search again in that work dir, "
            "which writes it anew"
        ) from error
    space = said_space(dict(space=of_file(said)), str(path)) or SearchSpace()
    if rank not in archs:
        raise UserError(f"{path} has no rank {rank}: allowed are 1 to {len(archs)}")
    return Found(archs[rank], space, path, content)
