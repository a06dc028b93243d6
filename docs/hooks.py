"""What mkdocs does to pages: Sphinx's roles in docstrings, and links to files outside docs/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import griffe

REPOSITORY = Path(__file__).resolve().parents[1]
# As in ":class:`~pinas_mm.space.Arch`".
ROLE = re.compile(r":(?:class|func|meth|data|mod|attr):`(~?)([^`]+)`")
LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+)([^)#]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A file outside docs/ is named by its place in the repository, where no page is.

    Raises:
        FileNotFoundError: it is not there.
    """

    def named(found: re.Match) -> str:
        place = (REPOSITORY / "docs" / page.file.src_uri).parent / found[2] / found[3]
        file = place.resolve()
        if file.is_relative_to(REPOSITORY / "docs"):
            return found[0]
        if not file.exists():
            raise FileNotFoundError(f"{page.file.src_uri} links to {found[2]}{found[3]}")
        return f"{found[1]} (`{file.relative_to(REPOSITORY)}`)"

    return LINK.sub(named, markdown)


class Docstrings(griffe.Extension):
    """Makes the package's docstrings what mkdocstrings reads."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Roles become links where their target has a page; examples become code."""
        if obj.docstring is None:
            return

        def linked(found: re.Match) -> str:
            shown = found[2].rpartition(".")[2] if found[1] else found[2]
            return f'<autoref identifier="{found[2]}" optional><code>{shown}</code></autoref>'

        text = ROLE.sub(linked, obj.docstring.value)
        obj.docstring.value = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE)
