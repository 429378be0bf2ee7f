"""A report as one HTML page that needs nothing else, and as Markdown."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from sceneshift.report.tables import Table
from sceneshift.report.themes import Picture, data_uri


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """Plain text.

    Args:
        text: Without markup.
        warns: Whether a reader must not miss it.
    """

    text: str
    warns: bool = False


@dataclass(frozen=True, kw_only=True)
class Bullets:
    """A list.

    Args:
        items: Plain texts.
    """

    items: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A picture on white paper, drawn when the study closed.

    Args:
        png: The file's bytes.
        alt: What it shows.
        width: In CSS pixels; by default its own, or the page's.
    """

    png: bytes
    alt: str
    width: int | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """Small pictures side by side.

    Args:
        pictures: As many as fit; the rest goes below.
    """

    pictures: Sequence[Picture]


Part = Paragraph | Bullets | Table | Picture | Sheet | Row


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of a report.

    Args:
        anchor: Its name in links.
        title: Its heading.
        intro: A sentence or two for someone who sees such a thing for the first time.
        parts: What it shows.
    """

    anchor: str
    title: str
    intro: str
    parts: Sequence[Part]


_PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { --ground: #ffffff; --ink: #24292f; --soft: #57606a; --line: #d8dee4; --band: #f6f8fa; --link: #0a5fb4;
  --warn: #fff6e0; --warn-line: #d9a200; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #161b22; --ink: #d7dde4; --soft: #9aa4af; --line: #30363d; --band: #1d242d; --link: #6cb6ff;
    --warn: #33290f; --warn-line: #b88a1c; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.5; font-size: 16px;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main, header, nav { max-width: 60rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2rem; }
h1 { font-size: 1.8rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
.lead { color: var(--soft); margin: 0 0 1rem; }
nav ul { list-style: none; padding: 0; margin: 1rem 0 0; display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; }
a { color: var(--link); }
p { margin: .6rem 0; max-width: 48rem; }
ul.points { max-width: 48rem; padding-left: 1.2rem; }
.intro { color: var(--soft); }
.warning { background: var(--warn); border-left: 4px solid var(--warn-line); padding: .5rem .8rem; }
.scroll { overflow-x: auto; margin: .3rem 0 1.4rem; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
.caption { color: var(--soft); margin: 1.2rem 0 0; font-size: .875rem; }
th { text-align: left; font-weight: 600; border-bottom: 2px solid var(--line); vertical-align: bottom; }
th, td { padding: .25rem .7rem; white-space: nowrap; }
td { border-bottom: 1px solid var(--line); }
td.text { white-space: normal; overflow-wrap: anywhere; min-width: 20rem; }
tbody tr:nth-child(even) td { background: var(--band); }
.number { text-align: right; }
.confusion tbody tr:nth-child(even) td { background: none; }
.confusion th.turned { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; padding: .5rem .3rem; }
.confusion th { vertical-align: bottom; }
.confusion table { font-size: .8rem; }
.confusion td.count { text-align: right; padding: .25rem .5rem; }
.confusion td.count.zero { color: var(--soft); }
picture, img { display: block; max-width: 100%; }
img { height: auto; margin: .8rem 0; }
.sheet { background: #ffffff; border-radius: 6px; padding: .4rem; margin: .8rem 0; width: fit-content;
  max-width: 100%; }
.sheet img { margin: 0; }
.row { display: flex; flex-wrap: wrap; gap: .6rem; }
footer { max-width: 60rem; margin: 3rem auto 2rem; padding: 1rem 1.25rem 0; color: var(--soft); font-size: .875rem; }
@media print { nav { display: none; } h2 { break-after: avoid; } picture, table { break-inside: avoid; } }
</style>
</head>
<body>
<header><h1>$title</h1><p class="lead">$lead</p></header>
<nav aria-label="sections"><ul>$links</ul></nav>
<main>
$sections
</main>
<footer>$footer</footer>
</body>
</html>
"""
)


def render_html(title: str, lead: str, sections: Sequence[Section], *, footer: str) -> str:
    """The whole page; it asks for nothing from outside.

    Args:
        title: Of the page.
        lead: Below it.
        sections: In their order.
        footer: The last words.
    """
    return _PAGE.substitute(
        title=html.escape(title),
        lead=html.escape(lead),
        links="".join(f'<li><a href="#{s.anchor}">{html.escape(s.title)}</a></li>' for s in sections),
        sections="\n".join(_section_html(section) for section in sections),
        footer=html.escape(footer),
    )


def render_markdown(title: str, lead: str, sections: Sequence[Section], *, footer: str) -> str:
    """The same words and tables without the pictures."""
    lines = [f"# {title}", lead]
    for section in sections:
        lines += [f"## {section.title}", section.intro]
        for part in section.parts:
            if isinstance(part, Paragraph):
                lines.append(f"**{part.text}**" if part.warns else part.text)
            elif isinstance(part, Bullets):
                lines.append("\n".join(f"- {item}" for item in part.items))
            elif isinstance(part, Table):
                lines.append(part.markdown().rstrip("\n"))
    return "\n\n".join([*lines, footer]) + "\n"


def _section_html(section: Section) -> str:
    parts = "\n".join(_part_html(part) for part in section.parts)
    return (
        f'<section id="{section.anchor}"><h2>{html.escape(section.title)}</h2>\n'
        f'<p class="intro">{html.escape(section.intro)}</p>\n{parts}</section>'
    )


def _part_html(part: Part) -> str:
    if isinstance(part, Paragraph):
        kind = ' class="warning"' if part.warns else ""
        return f"<p{kind}>{html.escape(part.text)}</p>"
    if isinstance(part, Bullets):
        return '<ul class="points">' + "".join(f"<li>{html.escape(item)}</li>" for item in part.items) + "</ul>"
    if isinstance(part, Sheet):
        width = "" if part.width is None else f' width="{part.width}"'
        alt = html.escape(part.alt, quote=True)
        return f'<div class="sheet"><img src="{data_uri(part.png)}"{width} alt="{alt}"></div>'
    if isinstance(part, Row):
        return '<div class="row">' + "".join(picture.html() for picture in part.pictures) + "</div>"
    return part.html()
