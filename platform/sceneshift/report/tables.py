"""One table in four tongues: Markdown, CSV, LaTeX, HTML. In CSV stand the numbers, in the others what people read."""

import csv
import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sceneshift.safe_files import replacing

#: What a cell may hold. None is nothing, and NaN a figure that doesn't exist.
Value = str | bool | int | float | None

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "—": "---",
        "−": "$-$",
        "≤": r"$\le$",
        "≥": r"$\ge$",
        "→": r"$\to$",
        "±": r"$\pm$",
        "×": r"$\times$",
        "…": r"\ldots{}",
    }
)

#: Longer texts may wrap.
_LONG = 60

#: What is shown where there is nothing.
NOTHING = "–"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A value, and how people are shown it.

    Args:
        value: What CSV holds.
        shown: What the other tongues show.
    """

    value: Value
    shown: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table; numbers stand to the right.

    Args:
        name: The files' name, without ending.
        caption: What it is, one sentence.
        columns: Headings.
        rows: Cells, or plain values shown as they are.
        wide: Whether LaTeX must shrink it to the width of the text.
    """

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | Value]]
    wide: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            assert len(row) == len(self.columns), (self.name, row)

    def markdown(self) -> str:
        """As Markdown, columns aligned."""
        lines = [[column.replace("|", "\\|") for column in self.columns]]
        lines += [[_shown(cell).replace("|", "\\|") for cell in row] for row in self.rows]
        right = self._numeric()
        widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(self.columns))]
        body = [
            "| "
            + " | ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True))
            + " |"
            for line in lines
        ]
        rule = "|" + "|".join("-" * (w + 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)) + "|"
        return "\n".join([body[0], rule, *body[1:]]) + f"\n\n{self.caption}\n"

    def csv(self) -> str:
        """As CSV (RFC 4180) with one line of headings; numbers whole, nothing as an empty field."""
        file = io.StringIO(newline="")
        writer = csv.writer(file)
        writer.writerow(self.columns)
        for row in self.rows:
            writer.writerow([_raw(cell) for cell in row])
        return file.getvalue()

    def latex(self) -> str:
        r"""As a LaTeX table with rules of the package booktabs; ``\input`` it."""
        alignment = "".join("r" if right else "l" for right in self._numeric())
        begin, end = ("  \\resizebox{\\textwidth}{!}{%", "  }") if self.wide else ("", "")
        lines = [
            "% needs \\usepackage{booktabs}" + (" and {graphicx}" if self.wide else ""),
            "\\begin{table}",
            "  \\centering",
            f"  \\caption{{{self.caption.translate(_LATEX)}}}",
            f"  \\label{{tab:{self.name.replace('_', '-')}}}",
            *([begin] if begin else []),
            f"  \\begin{{tabular}}{{{alignment}}}",
            "    \\toprule",
            "    " + " & ".join(column.translate(_LATEX) for column in self.columns) + r" \\",
            "    \\midrule",
            *("    " + " & ".join(_shown(cell).translate(_LATEX) for cell in row) + r" \\" for row in self.rows),
            "    \\bottomrule",
            "  \\end{tabular}",
            *([end] if end else []),
            "\\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        """As HTML, in a box that scrolls where the page is too narrow."""
        right = self._numeric()
        head = "".join(
            f'<th scope="col"{_class(r)}>{html.escape(c)}</th>' for c, r in zip(self.columns, right, strict=True)
        )
        body = "\n".join(
            "<tr>" + "".join(_html_cell(_shown(cell), r) for cell, r in zip(row, right, strict=True)) + "</tr>"
            for row in self.rows
        )
        return (
            f'<p class="caption">{html.escape(self.caption)}</p>\n<div class="scroll"><table>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
        )

    def write(self, folder: Path) -> list[Path]:
        """Write ``<name>.md``, ``.csv`` and ``.tex``; returns their paths."""
        paths = []
        for ending, text in (("md", self.markdown()), ("csv", self.csv()), ("tex", self.latex())):
            path = folder / f"{self.name}.{ending}"
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="")
            paths.append(path)
        return paths

    def _numeric(self) -> list[bool]:
        """Whether a column holds numbers alone."""
        found = []
        for i in range(len(self.columns)):
            values = [value for row in self.rows if (value := _value(row[i])) is not None]
            numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
            found.append(bool(values) and len(numbers) == len(values))
        return found


def per_cent(share: float) -> Cell:
    """A share as per cent with one digit."""
    return digits(100 * share, 1)


def digits(number: float | None, places: int) -> Cell:
    """A number with so many places."""
    shown = NOTHING if number is None or math.isnan(number) else f"{number:.{places}f}".replace("-", "−")
    return Cell(value=number, shown=shown)


def setting(value: Value) -> Cell:
    """A configuration's value: floats to three digits, switches as yes and no."""
    if value is None:
        return Cell(value=None, shown=NOTHING)
    if isinstance(value, bool):
        return Cell(value=value, shown="yes" if value else "no")
    return Cell(value=value, shown=f"{value:.3g}" if isinstance(value, float) else str(value))


def _class(right: bool) -> str:
    return ' class="number"' if right else ""


def _html_cell(text: str, right: bool) -> str:
    kind = ' class="text"' if len(text) > _LONG else _class(right)
    return f"<td{kind}>{html.escape(text)}</td>"


def _value(cell: Cell | Value) -> Value:
    return cell.value if isinstance(cell, Cell) else cell


def _shown(cell: Cell | Value) -> str:
    if isinstance(cell, Cell):
        return cell.shown
    return NOTHING if cell is None or (isinstance(cell, float) and math.isnan(cell)) else str(cell)


def _raw(cell: Cell | Value) -> Value:
    value = _value(cell)
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value
