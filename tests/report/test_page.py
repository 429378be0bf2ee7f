"""The page's elements: their content, escaped, and their markup."""

from html.parser import HTMLParser

import numpy as np
import pytest

from sceneshift.report.confusion_table import confusion_table
from sceneshift.report.page import Bullets, Folded, Paragraph, Row, Section, Sheet, render_html, render_markdown
from sceneshift.report.tables import Cell, Table, per_cent
from sceneshift.report.themes import Picture, legend_columns

VOID = {"meta", "img", "source"}
PICTURE = Picture(light=b"light", dark=b"dark", alt='a "b" <c>', width=30)


class Elements(HTMLParser):
    """Every element within <section>: tag, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        if "section" in self.open:
            self.found.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "section" in self.open and data.strip():
            self.found[-1][2] += data


def elements(*parts, title="t"):
    section = Section(anchor="here", title="a < b", intro="i & j", parts=parts)
    return Elements(render_html(title, "lead", [section], footer="foot")).found[3:]


def texts(found, *tags):
    return [text for tag, _, text in found if tag in tags]


def test_a_section_has_its_anchor_heading_and_link():
    text = render_html(
        "T <1>",
        "l & m",
        [Section(anchor="here", title="a < b", intro="i & j", parts=())],
        footer="f > g",
    )
    assert Elements(text).found == [
        ["section", {"id": "here"}, ""],
        ["h2", {}, "a < b"],
        ["p", {"class": "intro"}, "i & j"],
    ]
    assert '<a href="#here">a &lt; b</a>' in text
    assert "<title>T &lt;1&gt;</title>" in text
    assert "<footer>f &gt; g</footer>" in text
    assert "{{" not in text
    assert "{%" not in text


def test_a_folded_section_shows_its_heading_and_is_opened_by_its_link():
    text = render_html("T", "l", [Section(anchor="here", title="a", intro="i", parts=(), is_folded=True)], footer="f")
    assert "<details><summary><h2>a</h2></summary>" in text
    assert Elements(text).found == [["section", {"id": "here"}, ""], ["p", {"class": "intro"}, "i"]]


def test_paragraphs_and_lists():
    found = elements(Paragraph(text="x<y"), Paragraph(text="w", warns=True), Bullets(items=("1 & 2", "<b>")))
    assert found == [
        ["p", {}, "x<y"],
        ["p", {"class": "warning"}, "w"],
        ["ul", {"class": "points"}, ""],
        ["li", {}, "1 & 2"],
        ["li", {}, "<b>"],
    ]


def test_a_table_marks_numbers_and_long_texts():
    long = 61 * "z"
    table = Table(
        name="t",
        caption="a & b",
        columns=("class <name>", "share, %", "n"),
        rows=[('a & b_c, "d"', per_cent(0.123456), 3), ("x<y>", per_cent(float("nan")), None), (long, None, 0)],
    )
    found = elements(table)
    number = {"class": "number"}
    assert found[0] == ["p", {"class": "caption"}, "a & b"]
    assert [e for e in found if e[0] == "th"] == [
        ["th", {"scope": "col"}, "class <name>"],
        ["th", {"scope": "col"} | number, "share, %"],
        ["th", {"scope": "col"} | number, "n"],
    ]
    assert [e[1:] for e in found if e[0] == "td"] == [
        [{}, 'a & b_c, "d"'], [number, "12.3"], [number, "3"],
        [{}, "x<y>"], [number, "–"], [number, "–"],
        [{"class": "text"}, long], [number, "–"], [number, "0"],
    ]  # fmt: skip


def test_bold_cells_and_notes_of_a_table():
    table = Table(
        name="t", caption="c", columns=("a",), rows=[(Cell(value=1, shown="<1>", strong=True),), (2,)], notes="long"
    )
    found = elements(table)
    assert texts(found, "strong") == ["<1>"]
    assert texts(found, "p") == ["c"]


def test_folded_parts_can_be_folded_again():
    inner = Folded(title="in & out", parts=(Paragraph(text="q"), PICTURE))
    found = elements(Folded(title="a<b", parts=(inner, Bullets(items=("x",)))))
    assert [tag for tag, _, _ in found][:6] == ["details", "summary", "details", "summary", "p", "picture"]
    assert texts(found, "summary", "p", "li") == ["a<b", "in & out", "q", "x"]
    section = Section(anchor="a", title="S", intro="i", parts=(Folded(title="F", parts=(Paragraph(text="p"),)),))
    assert "## S\n\ni\n\n### F\n\np\n\nf\n" in render_markdown("T", "l", [section], footer="f")


def test_a_confusion_matrix_is_shaded_by_the_share_of_its_row():
    found = elements(confusion_table("p", "best", np.array([[30, 10], [0, 0]]), class_names=("a<", "b")))
    assert texts(found, "th", "td") == ["", "a<", "b", "a<", "30", "10", "b", "0", "0"]
    assert [(a["class"], a["style"].split("208,")[1]) for tag, a, _ in found if tag == "td"] == [
        ("count", "0.465)"),
        ("count", "0.155)"),
        ("count zero", "0.000)"),
        ("count zero", "0.000)"),
    ]


def test_pictures_have_both_themes_and_sheets_their_width():
    light, dark = ("data:image/png;base64," + code for code in ("bGlnaHQ=", "ZGFyaw=="))
    drawn = [
        ["picture", {}, ""],
        ["source", {"media": "(prefers-color-scheme: dark)", "srcset": dark}, ""],
        ["img", {"src": light, "width": "30", "alt": 'a "b" <c>'}, ""],
    ]
    assert elements(PICTURE) == drawn
    assert elements(Row(pictures=(PICTURE, PICTURE))) == [["div", {"class": "row"}, ""], *drawn, *drawn]
    assert elements(Sheet(png=b"light", alt="s")) == [
        ["div", {"class": "sheet"}, ""],
        ["img", {"src": light, "alt": "s"}, ""],
    ]
    assert elements(Sheet(png=b"light", alt="s", width=7))[1][1]["width"] == "7"


@pytest.mark.parametrize("title", ["plain", "{{ 1 + 1 }}", "{% raw %}"])
def test_what_looks_like_a_template_is_text(title):
    section = Section(anchor="a", title=title, intro="", parts=())
    assert f"<h2>{title}</h2>" in render_html("", "", [section], footer="")


def test_markdown_has_the_words_and_tables():
    table = Table(name="t", caption="c.", columns=("a",), rows=[(1,)])
    parts = (Paragraph(text="p"), Paragraph(text="w", warns=True), Bullets(items=("x", "y")), table, PICTURE)
    text = render_markdown("T", "lead", [Section(anchor="a", title="S", intro="i", parts=parts)], footer="f")
    assert text == "# T\n\nlead\n\n## S\n\ni\n\np\n\n**w**\n\n- x\n- y\n\n|   a |\n|----:|\n|   1 |\n\nc.\n\nf\n"


@pytest.mark.parametrize(
    ("labels", "width", "columns"),
    [(["a"] * 3, 9.6, 3), (["a"] * 20, 9.6, 6), (["x" * 60] * 4, 9.6, 2), (["x" * 99], 2, 1)],
)
def test_a_legend_has_as_many_columns_as_fit(labels, width, columns):
    assert legend_columns(labels, width=width) == columns
