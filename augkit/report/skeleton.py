"""The skeleton of every page: templates, and the table of contents that is made from a page's headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

_HEADING = re.compile(r"<h2(?: id=\"([^\"]*)\")?>(.*?)</h2>", re.DOTALL)


@dataclass(frozen=True)
class Contents:
    """A page's body, each of its sections with an anchor, and (anchor, heading) of every section."""

    body: Markup
    entries: tuple[tuple[str, Markup], ...]


def with_contents(body: Markup) -> Contents:
    """Return the HTML of a page's body with an id on every heading of a section (h2), and the list of these."""
    entries: list[tuple[str, Markup]] = []
    taken = set(re.findall(r"\bid=\"([^\"]*)\"", body))

    def with_anchor(found: re.Match[str]) -> str:
        anchor = found[1] or next(name for name in _anchors(found[2]) if name not in taken)
        taken.add(anchor)
        entries.append((anchor, Markup(found[2])))
        return f'<h2 id="{anchor}">{found[2]}</h2>'

    return Contents(Markup(_HEADING.sub(with_anchor, body)), tuple(entries))


def template(name: str) -> Template:
    """Return one of the package's templates; names and texts of users are escaped."""
    environment = Environment(
        loader=PackageLoader("augkit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["with_contents"] = with_contents
    return environment.get_template(name)


def _anchors(heading: str) -> Iterator[str]:
    """Yield names for a heading, one after the other until one is free."""
    words = re.sub(r"[^a-z0-9]+", "-", Markup(heading).striptags().lower()).strip("-") or "section"
    yield words
    yield from (f"{words}-{number}" for number in range(2, 10_000))
