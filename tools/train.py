#!/usr/bin/env python
"""Trains any config of pinas_mm, mmpretrain, mmdet or mmseg: pinas-train, in a clone."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pinas_mm.commands.train import main

if __name__ == "__main__":
    main()
