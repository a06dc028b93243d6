"""Searching a supernet: evaluator, samplers, record, report; called, it searches one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from pinas_mm.search.report.shown import ShownFindings


class _Search(ModuleType):
    """What ``pinas_mm.search`` is: the import of any module in it would replace a function of this
    name by the package, so the package itself can be called.
    """

    def __call__(
        self, model: nn.Module, work_dir: str | Path = "work_dirs/search", **settings: Any
    ) -> ShownFindings:
        """See :func:`pinas_mm.search.interactive.search`."""
        from pinas_mm.search.interactive import search

        return search(model, work_dir, **settings)


sys.modules[__name__].__class__ = _Search
