"""What a choice block asks of an operation."""

from __future__ import annotations

import abc
import dataclasses
import numbers
import sys
import types
from typing import TYPE_CHECKING, Any, ClassVar

from pinas_mm.errors import UserError
from pinas_mm.whole_numbers import is_whole

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True)
class BlockSpec:
    """Where a choice block stands and what all its candidates have in common.

    Attributes:
        stage, index: of the block, counted from 0; the index within its stage.
        in_channels, out_channels: of its input and output.
        planes: the stage's width, which operations take their inner widths from.
        stride, dilation: of its spatial convolution.
        rectified: whether the skeleton's blocks end in a ReLU.
        strided: whether it has the layers that stride, also in a network that takes the stride
            away; None is where it strides.
    """

    stage: int
    index: int
    in_channels: int
    planes: int
    out_channels: int
    stride: int
    dilation: int
    rectified: bool = True
    strided: bool | None = None

    def __post_init__(self) -> None:
        if self.strided is None:
            object.__setattr__(self, "strided", self.stride > 1)

    @property
    def first(self) -> bool:
        """Whether it is its stage's first block."""
        return self.index == 0

    @property
    def shortcut(self) -> bool:
        """Whether its identity path needs a projection: stride or channels change."""
        return self.stride != 1 or self.in_channels != self.out_channels

    @property
    def name(self) -> str:
        """``layer2.0``, as in state dicts."""
        return f"layer{self.stage + 1}.{self.index}"


class Operation(abc.ABC):
    """One candidate of a choice block. Subclasses are frozen dataclasses of plain values.

    They are described without torch; :meth:`build` imports what it needs. A subclass that is
    registered in :data:`pinas_mm.registry.OPERATIONS` can stand in a config's ``candidates``.

    Example:
        >>> @OPERATIONS.register_module()
        ... @dataclasses.dataclass(frozen=True)
        ... class Conv(Operation):
        ...     kernel: int = 3
        ...
        ...     def build(self, spec, shortcut, norm_cfg):
        ...         return nn.Conv2d(spec.in_channels, spec.out_channels, self.kernel,
        ...                          spec.stride, padding=self.kernel // 2)
    """

    # That subclasses are dataclasses, for type checkers.
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    # What the package brings is tested; what a user brings is run once when it is built.
    tested: ClassVar[bool] = False
    # Whether a file says it; of an instance, which is none the less equal to a config's.
    of_file: ClassVar[bool] = False

    def fits(self, spec: BlockSpec) -> bool:
        """Whether it can stand at a place; where not, the space does not have it there."""
        return True

    def check(self, spec: BlockSpec) -> None:  # noqa: B027
        """Raises :class:`UserError` where its numbers are wrong for a place where it shall stand;
        says which number to change.
        """

    @abc.abstractmethod
    def build(
        self, spec: BlockSpec, shortcut: nn.Module | None, norm_cfg: dict[str, Any]
    ) -> nn.Module:
        """The module, from (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride),
        rounded up.

        Args:
            spec: where it stands.
            shortcut: the projection on the identity path, one for all candidates of a block, to be
                called on the module's input; None where the skeleton has none there. Whoever needs
                no shortcut leaves it.
            norm_cfg: config of the norm layers.

        A module with a method ``zero_residual()`` is asked in a supernet to start as its shortcut,
        so that all paths agree at the start. One with ``init_weights()``, as mmengine's modules
        have it, initializes itself before that, and weights without gradient stay as built.
        """

    def numbers(self) -> tuple[float, ...]:
        """What predictors may order candidates of the same class by; as many for each of them.

        These are its fields; what is no number counts as 0.
        """
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        return tuple(float(v) if isinstance(v, numbers.Real) else 0.0 for v in values)

    @property
    def label(self) -> str:
        """A few characters for pages and figures."""
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        return " ".join([type(self).__name__, *map(str, values)])

    def to_dict(self) -> dict[str, Any]:
        """Its config: plain values, and a ``type`` that the registry knows."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return dict(type=config_type(type(self), "OPERATIONS"), **texts_for_classes(fields))


def config_type(cls: type, registry: str) -> str:
    """The name that a config has for an operation's or a skeleton's class.

    Args:
        cls: the class.
        registry: the name of its registry in :mod:`pinas_mm.registry`.

    Returns:
        The name that it is registered under, with our scope where it is ours; where it is not
        registered, module and name, which are found while it is imported.
    """
    # That loads torch; while nobody has loaded it nothing but ours can be registered.
    registries: Any = sys.modules.get("pinas_mm.registry")
    if registries is None and cls.__module__.startswith("pinas_mm."):
        return f"pinas_mm.{cls.__name__}"
    if registries is None:
        return f"{cls.__module__}.{cls.__qualname__}"
    name: str = registries.name_of(cls, getattr(registries, registry))
    return name


def texts_for_classes(config: dict[str, Any]) -> dict[str, Any]:
    """A config with classes as texts; see :func:`pinas_mm.registry.written`."""
    if not _has_class(config):
        return config
    from pinas_mm.registry import written  # Which loads torch, as the class has.

    made: dict[str, Any] = written(config)
    return made


def _has_class(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value
    if isinstance(value, (dict, list, tuple)):
        return any(map(_has_class, inner))
    return isinstance(value, (type, types.FunctionType))


def check_counts(owner: Any, *names: str, least: int = 1) -> None:
    """Raises :class:`UserError` unless fields are whole numbers of at least ``least``.

    NumPy's become Python's, which checkpoints can hold.
    """
    for name in names:
        value = getattr(owner, name)
        if not is_whole(value, least):
            raise UserError(
                f"{type(owner).__name__} has {name}={value!r}: a whole number of at least {least} "
                "is allowed"
            )
        object.__setattr__(owner, name, int(value))


def check_kernel(owner: Any) -> None:
    """Raises :class:`UserError` unless the field ``kernel`` is odd, so that sizes stay."""
    check_counts(owner, "kernel")
    if owner.kernel % 2 == 0:
        raise UserError(f"{type(owner).__name__} has kernel={owner.kernel}: odd ones are allowed")
