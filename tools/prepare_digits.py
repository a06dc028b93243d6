#!/usr/bin/env python
"""Writes small data sets of digits: pinas-prepare-digits, in a clone."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pinas_mm.commands.prepare_digits import main

if __name__ == "__main__":
    main()
