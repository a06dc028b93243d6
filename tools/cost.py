#!/usr/bin/env python
"""Prints parameters and multiply-adds: pinas-cost, in a clone."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pinas_mm.commands.cost import main

if __name__ == "__main__":
    main()
