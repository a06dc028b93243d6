"""From a config to its data sets, and the first and the whole look at their annotations."""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmengine.fileio import LocalBackend
from mmengine.logging import print_log
from mmengine.registry import DATASETS, DefaultScope

from pinas_mm.data.annotations.base import Annotations, NotBuiltError, Use, class_of, spread
from pinas_mm.data.annotations.coco import CocoAnnotations
from pinas_mm.data.annotations.heads import heads, too_many_guesses
from pinas_mm.data.annotations.label_maps import LabelMaps
from pinas_mm.data.annotations.lists import ImageLists
from pinas_mm.data.checks import check_data
from pinas_mm.data.local_files import data_backend
from pinas_mm.errors import UserError
from pinas_mm.registry import dicts

Progress = Callable[[Iterable[int], str], Iterable[int]]
KINDS: tuple[type[Annotations], ...] = (CocoAnnotations, LabelMaps, ImageLists)


@dataclasses.dataclass(frozen=True)
class Look:
    """What was found in one data set.

    Attributes:
        key: where its loader stands in the config, or whose metrics they are.
        counts: how many there are of what.
        faults: texts of all faults found.
    """

    key: str
    counts: dict[str, int]
    faults: list[str]


def check_data_sets(cfg: Mapping[str, Any], splits: Sequence[str]) -> None:
    """Checks what a run reads before it begins: data are there, annotations what they should be.

    Of each data set as many are looked at as about a second allows. Classes of data sets that we do
    not know are not looked at.

    Args:
        cfg: a whole config.
        splits: of train, val, test and search.

    Raises:
        UserError: something is wrong; names the first fault, and how many more there are.
    """
    for look in looks(cfg, splits):
        if look.faults:
            more = len(look.faults) - 1
            rest = f" ({more} more faults: tools/check_data.py lists them)" if more else ""
            raise UserError(f"{look.faults[0]}{rest}")


def looks(
    cfg: Mapping[str, Any],
    splits: Sequence[str],
    whole: bool = False,
    progress: Progress = lambda indices, key: indices,
) -> Iterator[Look]:
    """Looks at each annotated data set of a config once.

    Args:
        cfg: a whole config.
        splits: of train, val, test and search.
        whole: look at everything, not at a sample.
        progress: is handed the indices of a data set's files and its key, and gives them back.
    """
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope") or "mmengine"):
        yield from _looks(cfg, splits, whole, progress)


def _looks(
    cfg: Mapping[str, Any], splits: Sequence[str], whole: bool, progress: Progress
) -> Iterator[Look]:
    done: list[tuple[Any, ...]] = []
    for split in splits:
        guesses = list(too_many_guesses(cfg, split))
        if guesses:
            yield Look(f"metrics of {split}", {}, guesses)
        for key, loader in _loaders(cfg, split):
            try:
                check_data(split, loader, key)
            except UserError as error:
                yield Look(key, {}, [str(error)])
                continue
            for found in _annotations(cfg, split, key, loader):
                same = (found.use.dataset, found.use.evaluators)
                if same not in done:
                    done.append(same)
                    yield _look(found, _trained(cfg), whole, progress)


def _trained(cfg: Mapping[str, Any]) -> Iterator[Annotations]:
    """What is trained on, whichever splits are looked at: it decides what labels mean."""
    for key, loader in _loaders(cfg, "train"):
        yield from _annotations(cfg, "train", key, loader)


def _look(
    found: Annotations, trained: Iterable[Annotations], whole: bool, progress: Progress
) -> Look:
    try:
        faults = [*found.overall(whole), *found.against(trained)]
    except NotBuiltError as error:
        return Look(found.use.key, {}, [str(error)] if whole else [])
    indices = range(len(found)) if whole else spread(len(found), found.sample)
    for index in progress(indices, found.use.key):
        faults += found.faults(index)
    if len(indices) == len(found):
        faults += found.in_sum()
    else:
        # The rest may have what is lacking here.
        for text in found.in_sum():
            text = f"of {len(found)}, {len(indices)} were looked at: {text}"
            print_log(text, "current", logging.WARNING)
    return Look(found.use.key, found.counts(), faults)


def _loaders(cfg: Mapping[str, Any], split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The loaders that a split reads, calibration's included, and where they stand."""
    roots = [f"{split}_dataloader", f"{split}_cfg"]
    if split == "search":
        # What it does not say itself is the validation's.
        roots = ["search", "val_dataloader", "val_cfg"] if cfg.get("search") else []
    places = [(root, cfg.get(root)) for root in roots]
    while places:
        key, node = places.pop(0)
        if isinstance(node, dict) and isinstance(node.get("dataset"), dict):
            yield key, node
        elif isinstance(node, dict):
            places += [(f"{key}.{name}", inner) for name, inner in node.items()]


def _annotations(
    cfg: Mapping[str, Any], split: str, key: str, loader: Mapping[str, Any]
) -> Iterator[Annotations]:
    model = cfg.get("model") or {}
    metrics = cfg.get("val_evaluator" if split == "search" else f"{split}_evaluator")
    evaluators = list(dicts(metrics))
    for dataset in dicts(loader["dataset"]):
        cls = class_of(dataset, DATASETS)
        for kind in KINDS:
            if _is_known(cls, kind) and not _is_elsewhere(dataset):
                yield kind(Use(key, dataset, cls, loader, heads(model), model, evaluators))


def _is_known(cls: Any, kind: type[Annotations]) -> bool:
    """Whether a class is a kind's, and reads annotations as that does."""
    bases = inspect.getmro(cls) if inspect.isclass(cls) else ()
    base = next((b for b in bases if f"{b.__module__}.{b.__qualname__}" == kind.known), None)
    return base is not None and all(
        getattr(cls, m) is getattr(base, m) or getattr(cls, m).__module__.startswith("pinas_mm.")
        for m in kind.methods
    )


def _is_elsewhere(dataset: Mapping[str, Any]) -> bool:
    """Whether a data set is not in this machine's folders."""
    names = "data_root", "data_prefix", "ann_file"
    places = [str(dataset.get(name) or "") for name in names]
    given = dataset.get("backend_args")
    return any("://" in p for p in places) or not isinstance(
        data_backend(places[0], given), LocalBackend
    )
