"""A network as ONNX, for runtimes other than PyTorch."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from pinas_mm.errors import UserError
from pinas_mm.export.agreement import check_size, largest_difference
from pinas_mm.export.deployable import Deployable
from pinas_mm.files import write_output
from pinas_mm.models.folding import fold_batch_norms
from pinas_mm.models.onnx import onnx_session, to_onnx
from pinas_mm.stack import needs


def check_onnx_installed() -> None:
    """Raises :class:`UserError` unless the packages are there that ONNX takes."""
    needs("onnx", "onnxruntime", what="ONNX")


def write_onnx(
    path: str | Path, deployable: Deployable, size: int = 224, replace: bool = True
) -> float:
    """Writes ONNX (opset 17), after ONNX Runtime computed from it what PyTorch does.

    The input is ``images`` (N, C, H, W), all but C dynamic; outputs are ``deployable.outputs``;
    metadata properties are ``deployable.metadata``, lists as JSON. Batch norms are folded into the
    convolutions before them.

    Args:
        path: the file; written whole or not at all.
        deployable: the network, on the CPU.
        size: side of the images to compare on, in pixels.
        replace: see :func:`~pinas_mm.files.write_output`.

    Returns:
        The largest difference from PyTorch; see :func:`largest_difference`.

    Raises:
        UserError: a package is missing, the size is too small for the network, ONNX has no such
            layer, the outputs differ or the file cannot be written.
    """
    check_onnx_installed()
    check_size(deployable, size, f"ONNX {path}")
    try:
        content = _to_onnx(deployable, size)
    except torch.onnx.errors.OnnxExporterError as error:
        text = " ".join(str(error).split())[:200]
        raise UserError(
            f"ONNX {path} is not written: PyTorch cannot say it in ONNX: {text}"
        ) from error
    difference = largest_difference(deployable, onnx_session(content), size, f"ONNX {path}")
    write_output(path, content, replace)
    return difference


def _to_onnx(deployable: Deployable, size: int) -> bytes:
    import onnx

    outputs = {}
    for name in deployable.outputs:
        maps = {2: f"{name}_height", 3: f"{name}_width"} if name != "logits" else {}
        outputs[name] = {0: "batch", **maps}
    example = torch.zeros(2, deployable.channels, size, size)
    folded = fold_batch_norms(deployable.module, example)
    model = onnx.load_from_string(to_onnx(folded, example, outputs))
    facts = deployable.metadata.items()
    texts = {name: fact if isinstance(fact, str) else json.dumps(fact) for name, fact in facts}
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()
