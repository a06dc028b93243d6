"""Weights that are numbers: nothing else is exported."""

from __future__ import annotations

from torch import nn

from pinas_mm.errors import UserError

# By these names every norm keeps what it has seen; other buffers may be infinite by design.
STATISTICS = ("running_mean", "running_var")


def check_finite(module: nn.Module, statistics: bool) -> None:
    """Checks that a module's parameters are numbers.

    Args:
        module: the network or model.
        statistics: the running statistics of its norms, too: those of a supernet are replaced
            before they are used.

    Raises:
        UserError: one is NaN or infinite; names the first.
    """
    kept = [(n, v) for n, v in module.named_buffers() if n.rpartition(".")[2] in STATISTICS]
    for name, value in [*module.named_parameters(), *(kept if statistics else ())]:
        if value.is_floating_point() and not value.isfinite().all():
            raise UserError(
                f"{name} of the {type(module).__name__} is not finite: only numbers are exported; "
                "take an earlier checkpoint, or train again with a lower learning rate or clip_grad"
            )
