"""What every kind of annotated data set lets be looked at."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from mmengine.registry import DATASETS, TRANSFORMS, DefaultScope, Registry

from pinas_mm.errors import joined
from pinas_mm.registry import dicts, registered, type_name

LIBRARIES = ("mmcv", "mmengine", "mmpretrain", "mmdet", "mmseg", "pinas_mm")


class NotBuiltError(Exception):
    """A data set's config is no good; a run says that, with the config's key, when it builds it."""


@dataclasses.dataclass(frozen=True)
class Use:
    """A data set's config and what a run does with it.

    Attributes:
        key: where its loader stands in the config.
        dataset: its config.
        cls: its class.
        loader: config of its loader, with all pipelines.
        heads: classes of the model's classifiers, by their keys.
        model: config of the model.
        evaluators: configs of the metrics.
    """

    key: str
    dataset: Mapping[str, Any]
    cls: Any
    loader: Mapping[str, Any]
    heads: Mapping[str, int]
    model: Mapping[str, Any]
    evaluators: Sequence[Mapping[str, Any]]

    def transforms(self, name: str) -> list[dict[str, Any]]:
        """Configs of the transforms of a class's name, with or without a library's scope."""
        return [node for node in dicts(self.loader) if type_name(node) == name]

    @property
    def has_own_parts(self) -> bool:
        """Whether transforms or wrappers of data sets are there that no library brings: they may
        change labels.
        """
        found = [class_of(node, TRANSFORMS) for node in dicts(self.loader)]
        found += [class_of(node, DATASETS) for node in dicts(self.loader) if "dataset" in node]
        return any(cls and cls.__module__.partition(".")[0] not in LIBRARIES for cls in found)

    @property
    def skips_broken(self) -> bool:
        """Whether images that cannot be read are left out on request."""
        return any(node.get("ignore_empty") for node in dicts(self.loader))

    def build(self) -> Any:
        """The data set without its pipeline, nothing of its annotations read yet.

        Raises:
            NotBuiltError: its class does not take its arguments.
        """
        try:
            return DATASETS.build({**self.dataset, "pipeline": [], "lazy_init": True})
        except Exception as error:  # Data sets raise whatever they refuse arguments with.
            raise NotBuiltError(f"{self.key}: {joined(error)}") from error


class Annotations(abc.ABC):
    """One data set's annotations; each fault is a text: file, entry, value, what makes it right.

    Args:
        use: the data set and what a run does with it.
    """

    # What the data set's class and its methods must be for us to know what it reads.
    known: ClassVar[str]
    methods: ClassVar[tuple[str, ...]] = ("load_data_list",)
    noun: ClassVar[str]

    def __init__(self, use: Use) -> None:
        self.use = use

    @abc.abstractmethod
    def overall(self, whole: bool) -> Iterator[str]:
        """Faults of classes, heads and lists; reads what :meth:`faults` needs.

        Args:
            whole: look at everything, not only at as much as a second allows.
        """

    def against(self, trained: Iterable[Annotations]) -> Iterator[str]:
        """Faults that only the data sets trained on show, none of which is read yet."""
        yield from ()

    @abc.abstractmethod
    def __len__(self) -> int:
        """How many files there are to be looked at, once :meth:`overall` is through."""

    @property
    @abc.abstractmethod
    def sample(self) -> int:
        """How many of them a second allows, or a little more."""

    @abc.abstractmethod
    def faults(self, index: int) -> Iterator[str]:
        """Faults of one file."""

    def in_sum(self) -> Iterator[str]:
        """Faults that only all looked at show together."""
        yield from ()

    def counts(self) -> dict[str, int]:
        """How many there are of what."""
        return {self.noun: len(self)}


def class_of(config: Mapping[str, Any], among: Registry) -> Any:
    """The class of a config's type in the current scope; None where there is none."""
    scope = DefaultScope.get_current_instance()
    return registered(config.get("type"), scope.scope_name if scope else None, among)


def listed(names: Sequence[Any], most: int = 8) -> str:
    """Some names for a message, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + rest


def spread(number: int, most: int) -> Sequence[int]:
    """Indices of at most ``most`` of so many, evenly apart."""
    if number <= most:
        return range(number)
    return [place * number // most for place in range(most)]
