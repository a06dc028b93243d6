#!/usr/bin/env python
"""Looks at all annotations that a config names: pinas-check-data, in a clone."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pinas_mm.commands.check_data import main

if __name__ == "__main__":
    main()
