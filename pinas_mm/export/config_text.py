"""A config as a short text that inherits the file it came from."""

from __future__ import annotations

import ast
import math
import os
from collections.abc import Iterator
from keyword import iskeyword
from pathlib import Path
from typing import Any, cast

from mmengine.config import Config

from pinas_mm.errors import UserError

GONE = object()


def config_text(config: Config, folder: Path) -> str:
    """The text of a config file that says what it changes, and inherits the rest.

    Args:
        config: its ``filename`` is the file to inherit; its model is what ``model.model`` there is,
            apart from some settings. Of a file with ``read_base()``, which takes no heirs of this
            form, or of no file, the text is the whole config.
        folder: where the text will lie. The file is inherited by a relative path where both are
            below the working directory, as in one project, and by its absolute one elsewhere.
    """
    wanted = config.to_dict()
    if not config.filename or Config._is_lazy_import(config.filename):
        return "".join(f"{key} = {_literal(value)}\n" for key, value in wanted.items())
    file, here = Path(config.filename).resolve(), Path.cwd()
    before = Config.fromfile(file, import_custom_modules=False).to_dict()
    below = here in file.parents and here in folder.resolve().parents
    base = os.path.relpath(file, folder.resolve()) if below else str(file)
    lines = [f"_base_ = [{base!r}]"]
    model = wanted.pop("model")
    inner = (before.get("model") or {}).get("model") or {}
    if inner.get("type", GONE) == model["type"]:
        lines.append("model = dict(_delete_=True, **_base_.model.model)")
        for place, value in changes(inner, model):
            target = "model" + "".join(f"[{key!r}]" for key in place)
            lines.append(f"del {target}" if value is GONE else f"{target} = {_literal(value)}")
    else:
        wanted["model"] = model
    for key, value in wanted.items():
        old = before.get(key, GONE)
        if old is GONE or old != value:
            lines.append(f"{key} = {_literal(_override(old, value))}")
    return "\n".join(lines) + "\n"


def read_literals(file: Path) -> dict[str, Any]:
    """The variables of a config file without bases, as mmengine dumps them; nothing of it is run.

    Raises:
        UserError: a value is no number, text, ``dict()``, dict, list or tuple.
    """
    try:
        tree = ast.parse(file.read_text())
        return {
            cast(ast.Name, cast(ast.Assign, line).targets[0]).id: _value(
                cast(ast.Assign, line).value
            )
            for line in tree.body
        }
    except (AttributeError, SyntaxError, ValueError) as error:
        raise UserError(
            f"{file} is not as a search leaves its config ({error}): search again in that work "
            "dir, which writes it anew, or take it away where it is another's"
        ) from error


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        if node.args:
            raise ValueError(f"line {node.lineno}: dict() of more than names")
        found: dict[Any, Any] = {}
        for keyword in node.keywords:
            value = _value(keyword.value)
            found |= value if keyword.arg is None else {keyword.arg: value}
        return found
    if isinstance(node, ast.Dict):
        keys = [cast(ast.expr, key) for key in node.keys]
        pairs = zip(keys, node.values, strict=True)
        return {ast.literal_eval(key): _value(value) for key, value in pairs}
    if isinstance(node, (ast.List, ast.Tuple)):
        return (list if isinstance(node, ast.List) else tuple)(map(_value, node.elts))
    return ast.literal_eval(node)


def changes(
    before: Any, after: Any, place: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Where two configs differ: keys that lead there, and what is there after, maybe ``GONE``.

    Dicts of another ``type``, and lists of another length, differ as a whole.
    """
    dicts = isinstance(before, dict) and isinstance(after, dict)
    if dicts and before.get("type") == after.get("type"):
        for key in {**before, **after}:
            yield from changes(before.get(key, GONE), after.get(key, GONE), (*place, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from changes(*pair, (*place, index))
    elif before is GONE or after is GONE or before != after:
        yield place, after


def _override(before: Any, after: Any) -> Any:
    """What a config file says so that mmengine's inheritance makes ``after`` of ``before``."""
    if not isinstance(after, dict) or before is GONE:
        return after
    same = isinstance(before, dict) and before.get("type") == after.get("type")
    if not same or not before.keys() <= after.keys():
        return {"_delete_": True, **after}
    return {
        key: _override(before.get(key, GONE), value)
        for key, value in after.items()
        if key not in before or before[key] != value
    }


def _literal(value: Any, indent: int = 0) -> str:
    """Python's text of a value; what does not fit into a line has one for each of its parts.

    mmengine's sorts the keys and gives every number of a list a line.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if not isinstance(value, (dict, list, tuple)):
        return repr(value)
    if isinstance(value, dict):
        named = all(str(key).isidentifier() and not iskeyword(str(key)) for key in value)
        opened, closed = ("dict(", ")") if named else ("{", "}")
        inner = [
            (f"{key}=" if named else f"{key!r}: ") + _literal(part, indent + 4)
            for key, part in value.items()
        ]
    else:
        opened, closed = "[]" if isinstance(value, list) else "()"
        inner = [_literal(part, indent + 4) for part in value]
    last = "," if isinstance(value, tuple) and len(value) == 1 else ""
    flat = f"{opened}{', '.join(inner)}{last}{closed}"
    if indent + len(flat) <= 80 and "\n" not in flat:
        return flat
    pad = " " * indent
    return opened + "".join(f"\n{pad}    {part}," for part in inner) + f"\n{pad}{closed}"
