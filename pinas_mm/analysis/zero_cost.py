"""Zero-cost measures: what any module, untrained, says of itself."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from pinas_mm.errors import UserError
from pinas_mm.models.batch_norm import batch_statistics, modes_kept

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
# Their outputs are above 0 exactly where their inputs are.
RELU_LIKE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU),
    *(nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish),
)


def synflow(network: nn.Module, image_shape: Sequence[int]) -> float:
    """Synaptic flow: the logarithm of ``sum |theta * dR / dtheta|`` over all parameters.

    ``R`` is the sum of what the network makes of one image of ones, with the magnitude of each
    parameter in its place and without norms (Tanaka et al., "Pruning neural networks without any
    data by iteratively conserving synaptic flow", NeurIPS 2020, eq. 4; summed over a network by
    Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, section 3.1, whose code
    leaves out biases). It is computed in float64, and sees neither images nor labels. It reads
    weights only: a factor that is zero closes its branch. The network is left as it was, to the
    bit.

    Args:
        network: takes images; returns a tensor, or a sequence of tensors whose last one counts.
        image_shape: channels, height and width.

    Returns:
        A natural logarithm; more is better.

    Raises:
        UserError: nothing flows, or more than float64 holds.
    """
    with _magnitudes(network) as parameters, torch.enable_grad():
        device = parameters[0].device if parameters else None
        out = network(torch.ones(1, *image_shape, dtype=torch.float64, device=device))
        flow = (out if isinstance(out, torch.Tensor) else out[-1]).sum()
        # In here, since a checkpointed block is run again in the backward pass.
        gradients = (
            torch.autograd.grad(flow, parameters, allow_unused=True) if flow.requires_grad else ()
        )
        total = sum(
            float((parameter.detach() * gradient).abs().sum())
            for parameter, gradient in zip(parameters, gradients, strict=bool(gradients))
            if gradient is not None
        )
    if not 0 < total < math.inf:
        raise UserError(
            f"SynFlow of the {type(network).__name__} is the logarithm of {total}, no finite number"
            ": its weights are all zero, not finite, or too large"
        )
    return math.log(total)


def naswot(network: nn.Module, images: torch.Tensor) -> float:
    """NASWOT: how differently images switch a network's rectifiers on and off.

    The logarithm of the determinant of ``K``, with ``K_ij`` the number of units that are on for
    both of the images i and j, or off for both (Mellor et al., "Neural Architecture Search without
    Training", ICML 2021, eq. 2). A unit is one output of a module of ReLU's kind
    (:data:`RELU_LIKE`); calls of functions such as ``F.relu`` are not seen. Batch norms use the
    statistics of the images, as in the paper, whatever else is random in training is switched off.
    Labels are not read. The network is left as it was, to the bit.

    Args:
        network: takes images.
        images: shape (N, channels, height, width), at least two, on the network's device and in its
            precision.

    Returns:
        A natural logarithm; more is better. Two images that switch all units alike make it
        ``-inf``; eigenvalues below the rounding of the largest possible one, the number of units
        times N, count as this, so that it is finite and very low.

    Raises:
        UserError: fewer than two images, or the network runs no module of ReLU's kind.
    """
    if len(images) < 2:
        raise UserError(f"NASWOT compares images, and got {len(images)}: give at least 2")
    kernel, units = torch.zeros((), dtype=torch.float64, device=images.device), 0

    def count(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal kernel, units
        code = (output > 0).flatten(1).float()
        on = code.sum(dim=1).double()
        # Alike are all but those that are on for one of two only.
        kernel = kernel + code.shape[1] - on[:, None] - on + 2 * (code @ code.T).double()
        units += code.shape[1]

    handles = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, RELU_LIKE)
    ]
    try:
        with batch_statistics(network):
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    if not units:
        raise UserError(
            "NASWOT needs modules of ReLU's kind, and the network runs none: of "
            f"{', '.join(kind.__name__ for kind in RELU_LIKE)}"
        )
    least = units * len(images) * torch.finfo(torch.float64).eps
    return float(torch.linalg.eigvalsh(kernel).clamp(min=least).log().sum())


def grad_norm(loss: torch.Tensor, parameters: Iterable[nn.Parameter]) -> float:
    """Gradient norm: the sum of the Euclidean norms of a loss's gradients.

    One norm for each parameter tensor (Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS",
    ICLR 2021, section 3.1; their code takes weights of convolutions and linear layers alone).
    Gradients that parameters have stay as they are.

    Args:
        loss: of one mini-batch, a scalar.
        parameters: that want a gradient; those that the loss does not depend on count nothing.

    Returns:
        At least 0; more is better.

    Example:
        >>> score = grad_norm(F.cross_entropy(network(images), labels), network.parameters())
        >>> score >= 0
        True
    """
    gradients = torch.autograd.grad(loss, list(parameters), allow_unused=True)
    return sum(float(g.double().norm()) for g in gradients if g is not None)


@contextlib.contextmanager
def _magnitudes(network: nn.Module) -> Iterator[list[torch.Tensor]]:
    """In evaluation mode, in float64, with magnitudes for parameters and identities for norms.

    Nothing is written into a tensor: others stand in its place meanwhile. Yields the parameters.
    """
    modules = list(network.modules())
    owners = [owner for m in modules for owner in (m._parameters, m._buffers)]
    held = [(owner, dict(owner)) for owner in owners]
    norms = [m for m in modules if isinstance(m, NORMS)]
    forwards = [(norm, norm.__dict__.get("forward")) for norm in norms]
    parameters: dict[torch.Tensor, torch.Tensor] = {}
    try:
        for module in modules:
            for name, parameter in module._parameters.items():
                # A norm's are not used.
                if parameter is not None and not isinstance(module, NORMS):
                    if parameter not in parameters:
                        magnitude = parameter.detach().double().abs()
                        parameters[parameter] = nn.Parameter(magnitude)
                    cast(dict[str, Any], module._parameters)[name] = parameters[parameter]
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.is_floating_point():
                    module._buffers[name] = buffer.double()
        for norm in norms:
            norm.__dict__["forward"] = _same
        with modes_kept(network):
            for module in modules:
                module.training = False
            yield list(parameters.values())
    finally:
        for norm, forward in forwards:
            norm.__dict__.pop("forward", None)
            if forward is not None:
                norm.__dict__["forward"] = forward
        for owner, tensors in held:
            cast(dict[str, Any], owner).update(tensors)


def _same(x: torch.Tensor) -> torch.Tensor:
    return x
