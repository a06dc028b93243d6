"""A network as TorchScript, for PyTorch without Python or without this package."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import torch

from pinas_mm.export.agreement import check_size, largest_difference
from pinas_mm.export.deployable import Deployable
from pinas_mm.files import write_output
from pinas_mm.models.folding import fold_batch_norms

# The file's extra file with the metadata, for torch.jit.load(..., _extra_files={METADATA: ""}).
METADATA = "metadata.json"


def write_torchscript(
    path: str | Path, deployable: Deployable, size: int = 224, replace: bool = True
) -> float:
    """Writes TorchScript, after what it computes has been compared with PyTorch.

    ``torch.jit.load(path)(images)`` takes images of any batch and size and returns a tensor for a
    classifier and a tuple for a backbone, in the order of ``deployable.outputs``. The extra file
    ``metadata.json`` has these names and ``deployable.metadata``. Batch norms are folded into the
    convolutions before them.

    Args:
        path: the file; written whole or not at all.
        deployable: the network, on the CPU.
        size: side of the images to compare on, in pixels.
        replace: see :func:`~pinas_mm.files.write_output`.

    Returns:
        The largest difference from PyTorch; see :func:`largest_difference`.

    Raises:
        UserError: the size is too small for the network, the outputs differ or the file cannot be
            written.
    """
    check_size(deployable, size, f"TorchScript {path}")
    example = torch.zeros(2, deployable.channels, size, size)
    with torch.no_grad(), warnings.catch_warnings():
        # What tracing could fix, the comparison at other sizes finds.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        folded = fold_batch_norms(deployable.module, example)
        traced = torch.jit.trace(folded, example, check_trace=False)
    facts = json.dumps({"outputs": deployable.outputs, **deployable.metadata})
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer, _extra_files={METADATA: facts})
    loaded = torch.jit.load(io.BytesIO(buffer.getvalue()))
    difference = largest_difference(deployable, loaded, size, f"TorchScript {path}")
    write_output(path, buffer.getvalue(), replace)
    return difference
