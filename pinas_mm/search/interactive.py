"""A search from Python: what ``tools/search.py`` does in one process, in a script or a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch import nn

from pinas_mm.files import check_writable, write_atomically
from pinas_mm.search.display import Display
from pinas_mm.search.report.shown import ShownFindings
from pinas_mm.search.search import Search
from pinas_mm.search.settings import SearchSettings


def search(
    model: nn.Module, work_dir: str | Path = "work_dirs/search", **settings: Any
) -> ShownFindings:
    """Searches a trained supernet; called again with the same folder, it goes on where it was.

    It is called as ``pinas_mm.search(model, ...)``.

    Args:
        model: what :func:`pinas_mm.train` or :func:`pinas_mm.init_model` returned; or a
            :class:`~pinas_mm.algorithms.PiNAS` or :class:`~pinas_mm.algorithms.SinglePath` with
            weights, on its device. The first two have the config's ``search`` with them
            (``model.cfg``), the others need all ``settings`` that have no default.
        work_dir: where the record and the report (``search.html``) go.
        **settings: of :class:`~pinas_mm.search.settings.SearchSettings`, before those of the
            config: ``trials=100``, ``constraints=['macs<=300M']``.

    Returns:
        What is found, which prints as a table.

    Raises:
        UserError: settings that are unknown, or do not fit the model or the machine; images that
            are not there; a folder with another search, or that cannot be written.

    Example:
        >>> model = pinas_mm.init_model('configs/demo/digits_search.py', 'work_dirs/digits_linear')
        >>> pinas_mm.search(model, trials=20, constraints=['params<=50k'])
    """
    cfg = getattr(model, "cfg", None) or Config()
    init_default_scope(cfg.get("default_scope") or "mmpretrain")
    parsed = SearchSettings.parse({**(cfg.get("search") or {}), **settings})
    parsed.check_alone("from Python one process searches, which others can join")
    parsed.check_data()
    folder = Path(work_dir)
    check_writable(folder, "work_dir")
    config = _keep_config(cfg, settings, folder)
    found = Search(model, parsed, folder, str(cfg.get("load_from") or ""), config)
    with Display(found, MMLogger.get_current_instance()) as display:
        found.run(display)
    found.write()
    return found.findings()


def _keep_config(cfg: Config, settings: Mapping[str, Any], folder: Path) -> Path | None:
    """Leaves the config in the folder, as a tool's run does, for an export from there."""
    if "model" not in cfg:
        return None
    # A loader can have a data set itself, a score a class, which no text stands for.
    texts = {name: value for name, value in settings.items() if _is_text(value)}
    kept = Config({**cfg.to_dict(), "search": {**(cfg.get("search") or {}), **texts}})
    file = folder / (Path(cfg.filename).name if cfg.filename else "config.py")
    write_atomically(file, kept.pretty_text.encode())
    return file


def _is_text(value: Any) -> bool:
    """Whether a config's text can say it."""
    if isinstance(value, (Mapping, list, tuple)):
        return all(map(_is_text, value.values() if isinstance(value, Mapping) else value))
    return isinstance(value, (str, int, float, type(None)))
