"""A network as ONNX, for runtimes other than PyTorch."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from pinas_mm.compat import onnx_by_tracing
from pinas_mm.errors import UserError
from pinas_mm.export.agreement import largest_difference
from pinas_mm.export.deployable import INPUT, Deployable
from pinas_mm.files import write_output
from pinas_mm.models.folding import fold_batch_norms
from pinas_mm.stack import needs

# The exporter's own default; every runtime of the last years takes it.
OPSET = 17


def check_onnx_installed() -> None:
    """Raises :class:`UserError` unless the packages are there that ONNX takes."""
    needs("onnx", "onnxruntime", what="ONNX")


def write_onnx(path: str | Path, deployable: Deployable, size: int = 224) -> float:
    """Writes ONNX (opset 17), after ONNX Runtime computed from it what PyTorch does.

    The input is ``images`` (N, C, H, W), all but C dynamic; outputs are ``deployable.outputs``;
    metadata properties are ``deployable.metadata``, lists as JSON. Batch norms are folded into the
    convolutions before them.

    Args:
        path: the file; written whole or not at all.
        deployable: the network, on the CPU.
        size: side of the images to compare on, in pixels.

    Returns:
        The largest difference from PyTorch; see :func:`largest_difference`.

    Raises:
        UserError: a package is missing, ONNX has no such layer, the outputs differ or the file
            cannot be written.
    """
    check_onnx_installed()
    try:
        content = _to_onnx(deployable, size)
    except torch.onnx.errors.OnnxExporterError as error:
        text = " ".join(str(error).split())[:200]
        raise UserError(
            f"ONNX {path} is not written: PyTorch cannot say it in ONNX: {text}"
        ) from error
    difference = largest_difference(deployable, _session(content), size, f"ONNX {path}")
    write_output(path, content)
    return difference


def _to_onnx(deployable: Deployable, size: int) -> bytes:
    import onnx

    axes = {INPUT: {0: "batch", 2: "height", 3: "width"}}
    for name in deployable.outputs:
        maps = {2: f"{name}_height", 3: f"{name}_width"} if name != "logits" else {}
        axes[name] = {0: "batch", **maps}
    example, buffer = torch.zeros(2, deployable.channels, size, size), io.BytesIO()
    with warnings.catch_warnings():
        # Its successor takes another package (onnxscript); what tracing could fix, the comparison
        # at other sizes finds.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(
            fold_batch_norms(deployable.module, example),
            (example,),
            buffer,  # type: ignore[arg-type]  # PyTorch takes files too.
            **onnx_by_tracing(),
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(deployable.outputs),
            dynamic_axes=axes,
        )
    model = onnx.load_from_string(buffer.getvalue())
    facts = deployable.metadata.items()
    texts = {name: fact if isinstance(fact, str) else json.dumps(fact) for name, fact in facts}
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _session(content: bytes) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # What fails is said once, by the caller.
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(images: torch.Tensor) -> list[torch.Tensor]:
        return [torch.from_numpy(out) for out in session.run(None, {INPUT: images.numpy()})]

    return run
