"""What is built for a file's word: plain layers, in the modules that candidates have as configs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.registry import MODELS, DefaultScope

from pinas_mm.errors import UserError
from pinas_mm.registry import OF_FILE, SCOPES, imported, looked_up

# Layers that compute, and load nothing.
_LAYERS = ("torch.nn.modules.", "mmcv.cnn.bricks.", "mmcv.ops.")
# Texts that layers take for what they are: orders, paddings, ways to interpolate and to attend.
_WORDS = (
    *("conv", "norm", "act", "auto", "none", "tanh", "relu", "gelu", "same", "valid"),
    *("self_attn", "cross_attn", "ffn"),
    *("zeros", "zero", "circular", "reflect", "replicate"),
    *("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area"),
    *("gaussian", "embedded_gaussian", "dot_product", "concatenation"),
    *("att", "avg", "channel_add", "channel_mul"),
)


def of_file(space: Any) -> Any:
    """A space's config as a file says it, marked as the file's.

    It can be read and compared as any other. What its candidates build by configs of their own is
    held to :func:`check_layers`. The mark is a key, since configs are copied and converted.

    Args:
        space: what the file says, of any form; stays as it is.
    """
    if not isinstance(space, Mapping) or not isinstance(space.get("candidates"), (list, tuple)):
        return space
    marked = [
        {**one, OF_FILE: True} if isinstance(one, Mapping) and _has_parts(one) else one
        for one in space["candidates"]
    ]
    return {**space, "candidates": marked}


def _has_parts(config: Mapping[str, Any]) -> bool:
    return any(isinstance(value, (Mapping, list, tuple)) for value in config.values())


def check_layers(config: object, what: str) -> None:
    """Checks that a module's config, which a file says, builds plain layers alone.

    That a type is registered does not make it harmless: with a stranger's arguments a library's
    network downloads a repository, and runs what is in there.

    Args:
        config: dicts and lists, however deep.
        what: what the message calls it.

    Raises:
        UserError: a type is no layer of PyTorch or mmcv, or a text is none that they know: they
            take texts for types too, as ``padding_mode``.
    """
    for key, text in _texts(config):
        words = SCOPES if key == "_scope_" else _WORDS
        if not (_is_layer(text) if key == "type" else text in words):
            raise UserError(
                f"{what}: {key} {text!r} is a file's word, for which nothing is built but plain "
                "layers of PyTorch and mmcv: where you trust it, say the search space yourself, by "
                "a config or by space="
            )


def _texts(node: object, key: str = "") -> Iterator[tuple[str, str]]:
    """All texts of a config, with the keys that they, or the lists that they are in, stand at."""
    if isinstance(node, str):
        yield key, node
    elif isinstance(node, Mapping):
        for name, value in node.items():
            yield from _texts(value, str(name))
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _texts(value, key)
    elif key == "type":  # What mmengine would call.
        yield key, repr(node)


def _is_layer(kind: str) -> bool:
    """Whether all that a type can mean is a plain layer, whatever the scope it is built in."""
    scope, _, bare = kind.rpartition(".")
    if scope in ("", *SCOPES):
        current = DefaultScope.get_current_instance()
        looked_up(kind, current.scope_name if current else None, MODELS)  # Loads the libraries'.
        registries = (MODELS, *MODELS.children.values())
        found = [one.module_dict[bare] for one in registries if bare in one.module_dict]
    else:
        found = [imported(kind)]
    layers = [inspect.isclass(one) and one.__module__.startswith(_LAYERS) for one in found]
    return bool(layers) and all(layers)
