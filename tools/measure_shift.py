#!/usr/bin/env python
"""Measures a supernet's shifts: pinas-measure-shift, in a clone."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pinas_mm.commands.measure_shift import main

if __name__ == "__main__":
    main()
