"""A report as one self-contained HTML page, and as Markdown."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined

from sceneshift.report.tables import LONGEST_LINE, Table
from sceneshift.report.themes import Picture, data_uri


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """Plain text.

    Args:
        text: The text, without markup.
        warns: Whether it is a warning.
    """

    kind: ClassVar[str] = "paragraph"

    text: str
    warns: bool = False


@dataclass(frozen=True, kw_only=True)
class Bullets:
    """A list.

    Args:
        items: Plain texts.
    """

    kind: ClassVar[str] = "bullets"

    items: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A picture on white paper, drawn when the study closed.

    Args:
        png: The file's bytes.
        alt: What it shows.
        width: In CSS pixels; by default its own, or the page's.
    """

    kind: ClassVar[str] = "sheet"

    png: bytes
    alt: str
    width: int | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """Small pictures side by side.

    Args:
        pictures: The pictures; those that don't fit continue below.
    """

    kind: ClassVar[str] = "row"

    pictures: Sequence[Picture]


@dataclass(frozen=True, kw_only=True)
class Folded:
    """Parts that the reader unfolds; Markdown shows them.

    Args:
        title: The line that is always shown.
        parts: What it hides.
    """

    kind: ClassVar[str] = "folded"

    title: str
    parts: "Sequence[Part]"


Part = Paragraph | Bullets | Table | Picture | Sheet | Row | Folded


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of a report.

    Args:
        anchor: Its name in links.
        title: Its heading.
        intro: A sentence or two for readers who are new to it.
        parts: What it shows.
        is_folded: Whether the page shows its heading alone until it is opened.
    """

    anchor: str
    title: str
    intro: str
    parts: Sequence[Part]
    is_folded: bool = False


def render_html(title: str, lead: str, sections: Sequence[Section], *, footer: str) -> str:
    """Render the page, without external resources.

    Args:
        title: Title of the page.
        lead: The line below the title.
        sections: The sections in order.
        footer: The text at the end.
    """
    page = _environment().get_template("page.html.jinja")
    return page.render(title=title, lead=lead, sections=sections, footer=footer, longest=LONGEST_LINE)


def render_markdown(title: str, lead: str, sections: Sequence[Section], *, footer: str) -> str:
    """Render the same text and tables without the pictures."""
    lines = [f"# {title}", lead]
    for section in sections:
        lines += [f"## {section.title}", *([section.intro] if section.intro else [])]
        lines += _markdown_lines(section.parts)
    return "\n\n".join([*lines, footer]) + "\n"


def _markdown_lines(parts: Sequence[Part]) -> list[str]:
    lines = []
    for part in parts:
        if isinstance(part, Paragraph):
            lines.append(f"**{part.text}**" if part.warns else part.text)
        elif isinstance(part, Bullets):
            lines.append("\n".join(f"- {item}" for item in part.items))
        elif isinstance(part, Table):
            lines.append(replace(part, notes="").markdown().rstrip("\n"))
        elif isinstance(part, Folded):
            lines += [f"### {part.title}", *_markdown_lines(part.parts)]
    return lines


@functools.cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("sceneshift", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"data_uri": data_uri, "zip": zip}
    return found
