"""What differs between the stacks, versions of PyTorch and mmengine, each by what it is for."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import os
import re
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from packaging.version import Version

from pinas_mm.machine import CPU_INFO

TORCH = Version(torch.__version__).release[:2]
FORCE, FORCE_NOT = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
# Since 2.2; before, what is compiled takes the uncompiled way.
is_compiling = getattr(torch.compiler, "is_compiling", lambda: False)


def autocast_on_cpu() -> bool:
    """Whether a CPU computes in mixed precision here; the question takes a device since 2.4."""
    if TORCH >= (2, 4):
        return torch.is_autocast_enabled("cpu")
    return torch.is_autocast_cpu_enabled()


def no_scaler(device: str) -> Any:
    """A loss scaler that does nothing; those of 2.3 and newer are of a device."""
    if TORCH >= (2, 3):
        scaler = torch.amp.GradScaler  # type: ignore[attr-defined]  # So exported.
        return scaler(device, enabled=False)
    return torch.cuda.amp.GradScaler(enabled=False)


def fast_bfloat16() -> bool:
    """Whether this CPU multiplies in bfloat16; others compute it in float32, and slower."""
    if hasattr(torch.cpu, "_is_avx512_bf16_supported"):
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    flags = CPU_INFO.read_text().split() if CPU_INFO.is_file() else []
    return not {"avx512_bf16", "amx_tile"}.isdisjoint(flags)


@functools.cache
def float16_on_cpu() -> bool:
    """Whether CPUs compute convolutions in float16 here; PyTorch 2.1's do not."""
    try:
        torch.conv2d(*torch.ones(2, 1, 1, 1, 1, dtype=torch.float16))
    except RuntimeError:
        return False
    return True


def can_fuse(optimizer: type[torch.optim.Optimizer], devices: Collection[str]) -> bool:
    """Whether an optimizer takes ``fused=True`` there: since 2.4 on CPUs too.

    Args:
        optimizer: PyTorch's class.
        devices: kinds of devices of its parameters, as ``cpu`` and ``cuda``.
    """
    takes = "fused" in inspect.signature(optimizer).parameters
    return takes and (TORCH >= (2, 4) or set(devices) == {"cuda"})


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """While open, attention is computed as the matrix products that it is."""
    if TORCH < (2, 3):
        # Where gradients are wanted no layer takes its fused path, which there is no switch for.
        math = torch.backends.cuda.sdp_kernel(enable_flash=False, enable_mem_efficient=False)
        with torch.enable_grad(), math:
            yield
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def skip_no_batches(loop: Any) -> None:
    """Has a resumed loop by iterations begin with the first batch that its loader gives, which are
    those that are left: it would pass over as many as were trained on, and decode them.
    """
    batches = loop.dataloader_iterator
    if hasattr(batches, "skip_iter"):  # The forks'.
        batches.skip_iter = lambda number: None
    else:
        done = itertools.repeat(None, loop.iter)
        vars(loop)["dataloader_iterator"] = itertools.chain(done, batches)


def allow_recompiles(number: int) -> None:
    """How many kinds of a function are compiled at least before ``torch.compile`` gives up."""
    config = torch._dynamo.config
    for name, before in (
        ("recompile_limit", "cache_size_limit"),
        ("accumulated_recompile_limit", "accumulated_cache_size_limit"),
    ):
        # Before 2.4 there is one limit, of each function.
        for known in (name, before):
            if hasattr(config, known):
                setattr(config, known, max(getattr(config, known), number))
                break


def onnx_by_tracing() -> dict[str, Any]:
    """Options of ``torch.onnx.export`` for its tracing exporter, the only one before 2.5."""
    return dict(dynamo=False) if TORCH >= (2, 5) else {}


def safe_globals(allowed: list[Any]) -> AbstractContextManager[Any]:
    """While open, loading weights alone also builds these; before 2.6 it cannot."""
    if TORCH >= (2, 6):
        return torch.serialization.safe_globals(allowed)
    return contextlib.nullcontext()


def refused(error: BaseException) -> str | None:
    """What loading weights alone has refused to build; None where it failed for another reason."""
    found = re.search(r"(?:GLOBAL|Unsupported class) (\S+)", str(error))
    return found[1] if found else None


@contextlib.contextmanager
def weights_alone() -> Iterator[None]:
    """While open, ``torch.load`` runs no code from a file, whatever its caller asks for.

    That is the default since 2.6 alone, and onedl-mmengine tries again without where it fails.
    """
    before = {name: os.environ.pop(name, None) for name in (FORCE, FORCE_NOT)}
    os.environ[FORCE] = "1"
    try:
        yield
    finally:
        del os.environ[FORCE]
        os.environ.update({name: value for name, value in before.items() if value is not None})
