#!/usr/bin/env python
"""Converts a published Pi-NAS checkpoint: pinas-convert, in a clone."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pinas_mm.commands.convert import main

if __name__ == "__main__":
    main()
