"""A searched architecture leaves: as weights of a backbone or a whole model, ONNX, TorchScript."""

from pinas_mm.export.best import Found, read_best
from pinas_mm.export.deployable import Deployable
from pinas_mm.export.onnx import check_onnx_installed, write_onnx
from pinas_mm.export.stand_alone_config import stand_alone_config
from pinas_mm.export.statistics import recompute_statistics
from pinas_mm.export.subnet import read_network, read_space, subnet_of, write_subnet
from pinas_mm.export.targets import check_targets
from pinas_mm.export.torchscript import write_torchscript
from pinas_mm.export.whole_model import HandedOver, hand_over

__all__ = [
    "Deployable",
    "Found",
    "HandedOver",
    "check_onnx_installed",
    "check_targets",
    "hand_over",
    "read_best",
    "read_network",
    "read_space",
    "recompute_statistics",
    "stand_alone_config",
    "subnet_of",
    "write_onnx",
    "write_subnet",
    "write_torchscript",
]
