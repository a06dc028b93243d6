"""Published checkpoints to ours: the same tensors under the names that our models use."""

from pinas_mm.convert.convert import KINDS, Converted, convert_file, convert_state

__all__ = ["KINDS", "Converted", "convert_file", "convert_state"]
