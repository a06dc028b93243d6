"""Pages whose tables are made from committed results."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pinas_mm.errors import UserError

# Of the README, each of another script.
README = ("ranking", "ratios")


def rewritten(text: str, tables: Mapping[str, str]) -> str:
    """A page with its tables, between ``<!-- table NAME -->`` and ``<!-- end -->``, written anew.

    The README's others stay.

    Raises:
        UserError: it has a table that there is none of.
    """

    def table(match: re.Match) -> str:
        name = match[1]
        if name in README and name not in tables:
            return match[0]
        if name not in tables:
            raise UserError(f"the page has a table {name}: there are {', '.join(tables)}")
        return f"<!-- table {name} -->\n{tables[name]}\n<!-- end -->"

    return re.sub(r"<!-- table (\w+) -->.*?<!-- end -->", table, text, flags=re.DOTALL)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def source(results: Mapping[str, Any]) -> str:
    """By which command, on which machine."""
    machine = results["machine"]
    where = f"{machine['cores']} cores of {machine['cpu']}, torch {machine['torch']}"
    return f"`python {results['command'].removeprefix('python ').strip()}`, {where}"
