"""Any block of the OpenMMLab libraries or of a user's as an operation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pinas_mm.errors import UserError
from pinas_mm.operations.base import BlockSpec, Operation, config_type, texts_for_classes

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True)
class Module(Operation):
    """A module of the registry ``MODELS``, by its config.

    Args:
        cfg: its config, less what depends on the place.
        in_channels, out_channels, stride, dilation, norm_cfg: what it calls these arguments; of
            one that is None it has none, so that without ``out_channels`` it stands where channels
            stay, and without ``stride`` where nothing strides.
        residual: whether the skeleton's shortcut is added to what it computes, and the sum
            rectified where the skeleton's blocks are; False is a module that is the whole block.
        scale: with ``residual``, the parameter that scales what it adds, as ``bn3.weight``; in a
            supernet it starts at zero, so that paths agree.
        name: for pages and figures; None is its type's.

    A class in ``cfg`` is taken by its name, so that the space can be written down; one without
    a name that leads to it, as inside of a function, stays.

    Raises:
        UserError: ``cfg`` is no dict with a type.

    Example:
        >>> candidate = dict(
        ...     type='pinas_mm.Module', norm_cfg='norm_cfg',
        ...     cfg=dict(type='mmengine.ConvModule', kernel_size=3, padding=1))
    """

    # Not of a subclass's own hash, since a dict has none.
    cfg: dict[str, Any] = dataclasses.field(hash=False)
    in_channels: str = "in_channels"
    out_channels: str | None = "out_channels"
    stride: str | None = "stride"
    dilation: str | None = None
    norm_cfg: str | None = None
    residual: bool = False
    scale: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.cfg, dict) or "type" not in self.cfg:
            raise UserError(f"Module has cfg={self.cfg!r}: give a module's config, with its type")
        # Plain values, so that spaces compare and are written down.
        cfg = {**self.cfg}
        if texts_for_classes(cfg) is not cfg:
            from pinas_mm.registry import plain

            cfg = plain(cfg)
        object.__setattr__(self, "cfg", cfg)

    def __hash__(self) -> int:
        # Equal configs can be of any order.
        return hash(repr(self.cfg["type"]))

    def fits(self, spec: BlockSpec) -> bool:
        """Where stride and channels can be told to it."""
        strides = self.stride is not None or spec.stride == 1
        return strides and (self.out_channels is not None or spec.in_channels == spec.out_channels)

    def build(
        self, spec: BlockSpec, shortcut: nn.Module | None, norm_cfg: dict[str, Any]
    ) -> nn.Module:
        """The registry's module; with ``residual`` as a branch beside the shortcut.

        Raises:
            UserError: its type is unknown, or with ``residual`` it has no parameter ``scale``; a
                file says it, and it is not of plain layers alone.
        """
        from pinas_mm.operations.plain_layers import check_layers
        from pinas_mm.operations.residual import Residual
        from pinas_mm.registry import MODELS, check_known

        known = dict(
            in_channels=spec.in_channels,
            out_channels=spec.out_channels,
            stride=spec.stride,
            dilation=spec.dilation,
            norm_cfg=norm_cfg,
        )
        arguments = {getattr(self, name): value for name, value in known.items()}
        arguments.pop(None, None)
        check_known(self.cfg, f"Module {self.label}")
        if self.of_file:
            check_layers(self.cfg, f"Module {self.label}")
        module = MODELS.build({**self.cfg, **arguments})
        if not self.residual:
            return module
        scale = f"branch.{self.scale}" if self.scale else None
        parts = module.named_modules(prefix="branch")
        # A norm without affine knows its weight's name too: norm_cfg is the whole network's.
        if scale and scale not in {f"{path}.{name}" for path, m in parts for name in m._parameters}:
            raise UserError(f"{self.label} has no parameter {self.scale}: give scale another name")
        return Residual({"branch": module}, spec, shortcut, scale)

    def numbers(self) -> tuple[float, ...]:
        """None: a config's numbers mean anything."""
        return ()

    @property
    def label(self) -> str:
        """Its name."""
        kind = self.cfg["type"]
        return self.name or (kind.rpartition(".")[2] if isinstance(kind, str) else kind.__name__)

    def to_dict(self) -> dict[str, Any]:
        """What is not a default."""
        given = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.default is dataclasses.MISSING or getattr(self, field.name) != field.default
        }
        return dict(type=config_type(type(self), "OPERATIONS"), **texts_for_classes(given))
