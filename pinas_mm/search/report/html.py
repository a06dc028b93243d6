"""What all pages share: the look of ``base.html.jinja``, and that each is whole in one file."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import jinja2
from markupsafe import Markup
from PIL import Image

from pinas_mm.errors import UserError
from pinas_mm.search.report.text import printable

# Of pictures that a page holds, which are photographs.
QUALITY = 85


def render(template: str, **values: object) -> str:
    """A page's HTML.

    Args:
        template: a file of the package that extends ``search/report/base.html.jinja``.
        values: what it shows. Texts are escaped, and their control characters written as escapes;
            only a :class:`~markupsafe.Markup` is taken for HTML.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pinas_mm", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: printable(value, keep="\n") if type(value) is str else value,
    )
    return environment.get_template(template).render(values)


def embed(picture: Path, alt: str) -> Markup:
    """An ``<img>`` that holds a picture's file in itself, as JPEG.

    Args:
        picture: of any format that Pillow reads.
        alt: what it shows, for those who do not see it.
    """
    file = io.BytesIO()
    with Image.open(picture) as image:
        image.convert("RGB").save(file, "JPEG", quality=QUALITY)
        width, height = image.size
    data = base64.b64encode(file.getvalue()).decode()
    return Markup('<img src="data:image/jpeg;base64,{}" alt="{}" width="{}" height="{}">').format(
        data, printable(alt), width, height
    )


def figures_of(page: Path, prefix: str) -> list[Markup]:
    """The figures of a search's page, for another page.

    Args:
        page: the file.
        prefix: of all their ids, so that figures of several pages can stand in one.

    Raises:
        UserError: there is no such page.
    """
    if not page.is_file():
        raise UserError(f"{page} is missing: run its search once more, which writes it")
    found = re.findall("<figure>.*?</figure>", page.read_text(), flags=re.DOTALL)
    named = (re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", figure) for figure in found)
    return list(map(Markup, named))
