"""mmengine's loaders of weights from an address read them without running code from them."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import wrapt

from pinas_mm.errors import UserError


def register() -> None:
    """Restricts them once mmengine is loaded.

    PyTorch's ``load_url``, by which mmengine takes ``http(s)://``, ``torchvision://``,
    ``open-mmlab://`` and ``mmcls://``, unpickles whatever it downloads unless it is told not to;
    local files are read with ``weights_only=True`` by PyTorch's default.
    """
    wrapt.register_post_import_hook(_restrict, "mmengine.runner.checkpoint")


def _restrict(checkpoint: ModuleType) -> None:
    checkpoint.load_url = functools.partial(_load_url, checkpoint.load_url)


def _load_url(load_url: Any, url: str, *args: Any, **options: Any) -> Any:
    from pickle import UnpicklingError

    try:
        return load_url(url, *args, **{**options, "weights_only": True})
    except UnpicklingError as error:
        raise UserError(
            f"checkpoint {url} holds more than tensors and plain values and is not loaded, since "
            "that could run code: where you trust it, download it and save its state_dict alone"
        ) from error
