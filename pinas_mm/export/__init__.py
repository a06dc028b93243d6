"""A searched architecture leaves: as weights of an ordinary backbone, as ONNX, as TorchScript."""

from pinas_mm.export.best import Found, read_best
from pinas_mm.export.deployable import Deployable
from pinas_mm.export.onnx import check_onnx_installed, write_onnx
from pinas_mm.export.statistics import recompute_statistics
from pinas_mm.export.subnet import read_space, subnet_of, write_subnet
from pinas_mm.export.targets import check_targets
from pinas_mm.export.torchscript import write_torchscript

__all__ = [
    "Deployable",
    "Found",
    "check_onnx_installed",
    "check_targets",
    "read_best",
    "read_space",
    "recompute_statistics",
    "subnet_of",
    "write_onnx",
    "write_subnet",
    "write_torchscript",
]
