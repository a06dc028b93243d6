"""A network in one of the forms in which people run it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pinas_mm.compat import float16_on_cpu
from pinas_mm.errors import UserError, reason
from pinas_mm.models.folding import fold_batch_norms
from pinas_mm.models.onnx import onnx_session, to_onnx
from pinas_mm.stack import needs

FORMS = ("eager", "folded", "compiled", "onnx")
DTYPES = ("float32", "bfloat16", "float16")


def check_form(form: str, dtype: str, device: torch.device) -> None:
    """Raises :class:`UserError` for a form, precision or device that :func:`deployed` has not."""
    for name, given, allowed in (("form", form, FORMS), ("dtype", dtype, DTYPES)):
        if given not in allowed:
            raise UserError(f"{name} is {given!r}: {', '.join(allowed)} are allowed")
    if dtype == "float16" and device.type == "cpu" and not float16_on_cpu():
        raise UserError(
            f"dtype is 'float16', which PyTorch {torch.__version__} does not compute on CPUs: take "
            "'bfloat16' or 'float32', or a newer PyTorch"
        )
    if form == "onnx" and (dtype != "float32" or device.type != "cpu"):
        raise UserError(
            f"form='onnx' is ONNX Runtime on the CPU in float32, not on {device.type} in {dtype}: "
            "take form='folded' or 'compiled', or give device='cpu' and dtype='float32'"
        )
    if form == "onnx":
        needs("onnx", "onnxruntime", what="form='onnx'")


def deployed(
    module: nn.Module, example: torch.Tensor, form: str = "eager", dtype: str = "float32"
) -> Callable[[torch.Tensor], Any]:
    """A network ready for inference; it stays as it is.

    Args:
        module: in evaluation mode, on its device, one tensor in and one tensor or a tuple out.
        example: what it takes, (N, C, H, W) in float32 on its device.
        form: ``eager``, as PyTorch runs it; ``folded``, batch norms folded into convolutions, see
            :func:`~pinas_mm.models.folding.fold_batch_norms`; ``compiled``, that by
            ``torch.compile``, for the example's shape; ``onnx``, that exported, in ONNX Runtime
            with as many threads as PyTorch has now.
        dtype: ``float32``, ``bfloat16`` or ``float16``, of weights and activations.

    Returns:
        Takes what the network takes, in ``dtype``.

    Raises:
        UserError: there is no such form here, or the network cannot be compiled.
    """
    check_form(form, dtype, example.device)
    kind = getattr(torch, dtype)
    if form != "eager":
        module = fold_batch_norms(module, example)
        module.eval()  # Of mmpretrain's networks this returns nothing.
    elif kind != example.dtype:
        module = copy.deepcopy(module)
    if form == "onnx":
        return _in_onnxruntime(module, example)
    module = module.to(kind)
    return _compiled(module, example.to(kind)) if form == "compiled" else module


def _compiled(module: nn.Module, example: torch.Tensor) -> Callable[[torch.Tensor], Any]:
    def run(x: torch.Tensor) -> Any:
        return module(x)

    # Code that is this network's alone: PyTorch silently stops to compile code that has been
    # compiled for 8 networks, or could not be for one.
    run.__code__ = run.__code__.replace()
    made = torch.compile(run, dynamic=False)
    graphs = torch._dynamo.utils.counters["stats"]
    before = graphs["unique_graphs"]
    try:
        # CompileBlocksHook, which asks for less, sets it for the whole process.
        with torch._dynamo.config.patch(suppress_errors=False):
            made(example)
    except Exception as error:
        raise _not_compiled(reason(error)) from error
    if graphs["unique_graphs"] == before:
        raise _not_compiled("it left it as it is")
    return made


def _not_compiled(reason: str) -> UserError:
    return UserError(
        f"torch.compile cannot compile this here ({reason}): it needs a C++ compiler, on a GPU "
        "Triton; form='folded' needs neither"
    )


def _in_onnxruntime(module: nn.Module, example: torch.Tensor) -> Callable[[torch.Tensor], Any]:
    run = onnx_session(to_onnx(module, example))
    single = isinstance(module(example), torch.Tensor)
    return lambda x: run(x)[0] if single else tuple(run(x))
