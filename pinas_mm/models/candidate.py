"""One candidate as a module at its place, whoever wrote its operation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from pinas_mm.errors import UserError, reason, user_line
from pinas_mm.operations import BlockSpec, Operation

# Images that a user's operation is run on when it is built: batch and side.
TRIAL = (2, 9)


def build_candidate(
    operation: Operation, spec: BlockSpec, shortcut: nn.Module | None, norm_cfg: dict[str, Any]
) -> nn.Module:
    """Builds an operation's module; a user's is run once.

    Args:
        operation: what to build.
        spec: where it stands.
        shortcut: the projection on the identity path.
        norm_cfg: config of the norm layers.

    Raises:
        UserError: what comes out of it has another shape than its place asks for, it changes its
            input, or it is no module.
    """
    module = operation.build(spec, shortcut, norm_cfg)
    if not operation.tested:
        _try(module, spec)
    # In a state dict a number after the block's is a candidate's, so modules have names.
    if any(name.isdigit() for name, _ in module.named_children()):
        return Body(module)
    return module


@contextlib.contextmanager
def named(what: str, spec: BlockSpec) -> Iterator[None]:
    """Whatever is raised while something is built, what it was, where it was to stand, and the line
    of the user's own code.
    """
    try:
        yield
    except Exception as error:
        said = reason(error) if str(error).strip() else "no reason given"
        if not isinstance(error, UserError):
            place = user_line(error)
            said = f"{type(error).__name__}: {said}{place and f': {place}'}"
        raise UserError(
            f"{what} ({spec.name}, {spec.in_channels} to {spec.out_channels} channels, stride "
            f"{spec.stride}): {said}"
        ) from error


class Body(nn.Module):
    """A module whose children are numbered, under a name.

    Args:
        body: the module.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The module's."""
        return self.body(x)


@torch.no_grad()
def _try(module: nn.Module, spec: BlockSpec) -> None:
    """What comes out has the shape of its neighbours' output, what goes in stays as it is."""
    if not isinstance(module, nn.Module):
        raise UserError(f"build() gave a {type(module).__name__}, not a module")
    batch, side = TRIAL
    first = next((p for p in [*module.parameters(), *module.buffers()]), torch.zeros(()))
    # An inference tensor, as a latency's are, does not count its changes.
    with torch.inference_mode(False):
        x = torch.zeros(batch, spec.in_channels, side, side, device=first.device, dtype=first.dtype)
    training = module.training
    out = module.eval()(x)
    module.train(training)
    wanted = (batch, spec.out_channels, *[-(-side // spec.stride)] * 2)
    got = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
    if got != wanted:
        raise UserError(
            f"its output for {tuple(x.shape)} is {got}, its neighbours' is {wanted}: all "
            "candidates of a block must give the same shape"
        )
    if x._version:
        raise UserError("it changes its input in place, which others read too: set inplace=False")
