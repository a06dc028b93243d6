#!/usr/bin/env python
"""Writes a searched architecture's weights, model, ONNX: pinas-export, in a clone."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pinas_mm.commands.export import main

if __name__ == "__main__":
    main()
