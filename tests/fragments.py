"""The fenced fragments of README.md and docs/: commands, Python, config files."""

import ast
import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from conftest import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
# Commands in running text and in indented blocks: read, not run.
INLINE = re.compile(
    r"`((?:python|tools/\w+\.sh|bash tools/) ?[^`]+)`|^    (python [^#\n]+)", re.MULTILINE
)
# What stands for something of the user's own.
PLACEHOLDER = re.compile(
    r"\b(CONFIG|CHECKPOINT|FILE|DIR|SRC|DST|N|GPUS|PARTITION|JOB|CKPT)\b|\.\.\."
)


@dataclasses.dataclass(frozen=True)
class Fragment:
    """One of a page.

    Attributes:
        page: relative to the repository.
        line: where it begins.
        kind: ``command``, ``console``, ``python``, ``module`` (a Python file of the user's),
            ``config`` (a part), ``file`` (a whole config file) or ``text``.
        text: what it says.
        title: of a file.
    """

    page: str
    line: int
    kind: str
    text: str
    title: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[str]:
        """Its commands, each on one line; of a console those behind the prompt."""
        text = self.text.replace("\\\n", " ")
        if self.kind == "console":
            return re.findall(r"^\$ (.*)$", text, re.MULTILINE)
        lines = (re.sub(r"(^|\s)# .*$", "", line).strip() for line in text.splitlines())
        return [line for line in lines if line]


def fragments(page: Path) -> Iterator[Fragment]:
    """All of a page, in order."""
    text = page.read_text()
    name = str(page.relative_to(REPOSITORY))
    for found in FENCE.finditer(text):
        indent, language, info, body = found.groups()
        body = re.sub(f"^{indent}", "", body, flags=re.MULTILINE)
        title = re.search(r'title="([^"]+)"', info)
        title = title[1] if title else ""
        line = text[: found.start()].count("\n") + 1
        yield Fragment(name, line, kind(language, body, title), body, title)


def kind(language: str, body: str, title: str) -> str:
    """What a fragment is, by its language and what it does."""
    if language in ("bash", "shell", "sh"):
        return "command"
    if language != "python":
        return "console" if language == "console" else "text"
    nodes = ast.parse(body).body
    configuring = all(isinstance(node, (ast.Assign, ast.Expr)) for node in nodes)
    settings = any(isinstance(node, ast.Assign) for node in nodes)
    if configuring and settings:
        return "file" if title else "config"
    return "module" if title else "python"


def inline_commands(page: Path) -> Iterator[str]:
    """Commands outside the fences that name no placeholder."""
    for found in INLINE.finditer(FENCE.sub("", page.read_text())):
        command = " ".join((found[1] or found[2]).split())
        if not PLACEHOLDER.search(command):
            yield command


def script_of(command: str) -> list[str]:
    """Words of a command without the variables set before it."""
    words = shlex.split(command)
    while words and re.match(r"\w+=", words[0]):
        words.pop(0)
    return words
