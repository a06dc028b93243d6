"""Names and paths of users, as they can be shown anywhere."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """Text whose control characters, and bytes that are none, are written as escapes.

    Terminals obey them, pages and pictures cannot hold them. Brackets and dollars stay: what shows
    the text must not read it as markup.

    Args:
        text: of anybody.
        keep: characters that stay all the same.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )
