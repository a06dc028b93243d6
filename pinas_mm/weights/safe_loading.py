"""mmengine's loaders of weights run no code from them, and do not go on where nothing fits."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Any

import wrapt

from pinas_mm.errors import UserError

_LOADING = threading.RLock()


def register() -> None:
    """Restricts them once mmengine is loaded.

    What they read, files and addresses of all sorts (``http(s)://``, ``torchvision://``,
    ``open-mmlab://``, ``mmcls://``, ``s3://``), PyTorch unpickles as it is in some of its versions
    and some of mmengine's. Of weights of which none is for the module mmengine warns, and the
    module stays random: here that is an error.
    """
    wrapt.register_post_import_hook(_restrict, "mmengine.runner.checkpoint")


def _restrict(checkpoint: Any) -> None:
    loader = checkpoint.CheckpointLoader
    loader.load_checkpoint = functools.partial(_load_checkpoint, loader.load_checkpoint)
    checkpoint.load_state_dict = functools.partial(_load_state_dict, checkpoint.load_state_dict)


def _load_checkpoint(load: Any, filename: Any, *args: Any, **options: Any) -> Any:
    from pickle import UnpicklingError

    from pinas_mm.compat import refused, weights_alone

    try:
        with weights_alone(), _no_tar():
            return load(filename, *args, **options)
    except UnpicklingError as error:
        if not refused(error):
            raise
        raise UserError(
            f"checkpoint {filename} holds more than tensors and plain values and is not loaded, "
            "since that could run code: where you trust it, save its state_dict alone"
        ) from error


@contextlib.contextmanager
def _no_tar() -> Iterator[None]:
    """While open, ``torch.load`` refuses tar archives, from which it may run code."""
    from unittest import mock

    import torch

    from pinas_mm.weights.checkpoint import refuse_tar

    load = torch.load

    @functools.wraps(load)
    def checked(file: Any, *args: Any, **options: Any) -> Any:
        refuse_tar(file)
        return load(file, *args, **options)

    # Threads that load at once would leave each other's in place.
    with _LOADING, mock.patch.object(torch, "load", checked):
        yield


def _load_state_dict(load: Any, module: Any, state_dict: Any, *args: Any, **options: Any) -> None:
    from mmengine.model import BaseTTAModel, is_model_wrapper

    from pinas_mm.models.network import Network
    from pinas_mm.weights.checkpoint import check_fits

    while is_model_wrapper(module) or isinstance(module, BaseTTAModel):
        module = module.module
    wanted = {name: value.shape for name, value in module.state_dict().items()}
    fits = [name for name in wanted if getattr(state_dict.get(name), "shape", None) == wanted[name]]
    # A module with hooks of its own may read other names.
    renames = any(part._load_state_dict_pre_hooks for part in module.modules())
    if wanted and not fits and not renames:
        theirs, ours = (", ".join(list(names)[:2]) for names in (state_dict, wanted))
        raise UserError(
            f"none of the checkpoint's weights ({theirs}, ...) is for {type(module).__name__} "
            f"({ours}, ...): weights of a backbone alone are for init_cfg of model.backbone, those "
            "of a whole model for load_from"
        )
    # Not the modules' names: an algorithm's state dict leaves out that of the model that it wraps.
    names = {id(value): key for key, value in module.state_dict(keep_vars=True).items()}
    for part in module.modules():
        if isinstance(part, Network):
            first, value = next(iter(part.state_dict(keep_vars=True).items()))
            if id(value) not in names:  # A hook has left it out.
                continue
            prefix = names[id(value)].removesuffix(first)
            inner = [key for key in state_dict if key.startswith(prefix)]
            state = {key.removeprefix(prefix): state_dict[key] for key in inner}
            check_fits(part, state, "the checkpoint")
    load(module, state_dict, *args, **options)
