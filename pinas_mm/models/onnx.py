"""A network as ONNX, and ONNX Runtime that computes it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import nn

from pinas_mm.compat import onnx_by_tracing

INPUT = "images"
# Every PyTorch writes it, and every runtime of the last years takes it.
OPSET = 17


def to_onnx(
    module: nn.Module,
    example: torch.Tensor,
    outputs: Mapping[str, Mapping[int, str]] | None = None,
) -> bytes:
    """The ONNX (opset 17) of a network; of its input ``images`` all axes but C are dynamic.

    Args:
        module: in evaluation mode, one tensor in and one tensor or a tuple out.
        example: what it takes, (N, C, H, W).
        outputs: their names in order, each with the names of its dynamic axes; None leaves all of
            that to PyTorch.

    Raises:
        torch.onnx.errors.OnnxExporterError: ONNX has no such layer.
    """
    named, buffer = outputs or {}, io.BytesIO()
    with warnings.catch_warnings():
        # The exporter's successor takes another package (onnxscript); what tracing fixes, a run
        # at another size shows.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(
            module,
            (example,),
            buffer,  # type: ignore[arg-type]  # PyTorch takes files too.
            **onnx_by_tracing(),
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(named),
            dynamic_axes={INPUT: {0: "batch", 2: "height", 3: "width"}, **named},
        )
    return buffer.getvalue()


def onnx_session(content: bytes) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """ONNX Runtime on the CPU with as many threads as PyTorch has now, from images to outputs.

    Args:
        content: of :func:`to_onnx`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # What fails is said once, by the caller.
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(images: torch.Tensor) -> list[torch.Tensor]:
        return [torch.from_numpy(out) for out in session.run(None, {INPUT: images.numpy()})]

    return run
