"""A table as Markdown, CSV and LaTeX. CSV has unrounded numbers, the others formatted text."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sceneshift.safe_files import replacing

#: Types of cell values. None is an empty cell, NaN an undefined figure.
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
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
    }
)

#: Longer texts may wrap on a page.
LONGEST_LINE = 60

#: Shown in empty cells.
NOTHING = "–"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A value and its formatted text.

    Args:
        value: The value in CSV.
        shown: The text in all other formats.
        strong: Whether the text is bold.
    """

    value: Value
    shown: str
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table; columns of numbers are right-aligned.

    Args:
        name: The files' name, without ending.
        caption: A one-sentence description.
        columns: The headings.
        rows: Cells, or plain values that are shown unchanged.
        wide: Whether LaTeX must shrink it to the text width.
        notes: How the figures came to be, after the caption in files; a page with many tables says it once.
        printed: Whether it is also written as LaTeX; a table with hundreds of rows doesn't fit a page.
    """

    kind: ClassVar[str] = "table"

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | Value]]
    wide: bool = False
    notes: str = ""
    printed: bool = True

    def __post_init__(self) -> None:
        for row in self.rows:
            assert len(row) == len(self.columns), (self.name, row)

    @property
    def shown(self) -> list[list[str]]:
        """The rows as formatted text."""
        return [[_shown(cell) for cell in row] for row in self.rows]

    @property
    def strong(self) -> list[list[bool]]:
        """Which texts are bold."""
        return [[isinstance(cell, Cell) and cell.strong for cell in row] for row in self.rows]

    def markdown(self) -> str:
        """As Markdown, columns aligned."""
        rows = self._marked(self.shown, "**{}**")
        return f"{markdown_table(self.columns, rows, right=self.numeric)}\n{self._full_caption}\n"

    def csv(self, *, digits: int | None = None) -> str:
        """As CSV (RFC 4180) with one line of headings; None is an empty field.

        Args:
            digits: Digits of numbers; None for all. The last ones of a sum depend on the processor that adds.
        """
        file = io.StringIO(newline="")
        writer = csv.writer(file)
        writer.writerow(self.columns)
        for row in self.rows:
            writer.writerow([_raw(cell, digits) for cell in row])
        return file.getvalue()

    def latex(self) -> str:
        r"""As a LaTeX table with rules of the package booktabs; ``\input`` it."""
        alignment = "".join("r" if right else "l" for right in self.numeric)
        rows = self._marked([[text.translate(_LATEX) for text in row] for row in self.shown], r"\textbf{{{}}}")
        begin, end = ("  \\resizebox{\\textwidth}{!}{%", "  }") if self.wide else ("", "")
        lines = [
            "% needs \\usepackage{booktabs}" + (" and {graphicx}" if self.wide else ""),
            "\\begin{table}",
            "  \\centering",
            f"  \\caption{{{self._full_caption.translate(_LATEX)}}}",
            f"  \\label{{tab:{self.name.replace('_', '-')}}}",
            *([begin] if begin else []),
            f"  \\begin{{tabular}}{{{alignment}}}",
            "    \\toprule",
            "    " + " & ".join(column.translate(_LATEX) for column in self.columns) + r" \\",
            "    \\midrule",
            *("    " + " & ".join(row) + r" \\" for row in rows),
            "    \\bottomrule",
            "  \\end{tabular}",
            *([end] if end else []),
            "\\end{table}",
        ]
        return "\n".join(lines) + "\n"

    @property
    def _full_caption(self) -> str:
        return f"{self.caption} {self.notes}".rstrip()

    def _marked(self, rows: Sequence[Sequence[str]], mark: str) -> list[list[str]]:
        """Texts, the bold ones within a format's mark."""
        return [
            [mark.format(text) if strong else text for text, strong in zip(row, flags, strict=True)]
            for row, flags in zip(rows, self.strong, strict=True)
        ]

    def write(self, folder: Path, *, digits: int | None = None) -> list[Path]:
        """Write ``<name>.md``, ``.csv`` and, if it is printed, ``.tex``; returns their paths.

        Args:
            folder: Where to.
            digits: Digits of numbers in the CSV; None for all.
        """
        texts = {"md": self.markdown(), "csv": self.csv(digits=digits)}
        if self.printed:
            texts["tex"] = self.latex()
        paths = []
        for ending, text in texts.items():
            path = folder / f"{self.name}.{ending}"
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="")
            paths.append(path)
        return paths

    @property
    def numeric(self) -> list[bool]:
        """Whether a column holds only numbers."""
        found = []
        for i in range(len(self.columns)):
            values = [value for row in self.rows if (value := _value(row[i])) is not None]
            numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
            found.append(bool(values) and len(numbers) == len(values))
        return found


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[bool]) -> str:
    """Format texts as a Markdown table whose columns are also aligned as plain text.

    Args:
        columns: Headings.
        rows: As many texts each.
        right: Which columns are right-aligned.
    """
    lines = [[text.replace("|", "\\|") for text in line] for line in (columns, *rows)]
    widths = [max(3, *map(len, texts)) for texts in zip(*lines, strict=True)]
    head, *body = [
        "| " + " | ".join(t.rjust(w) if r else t.ljust(w) for t, w, r in zip(line, widths, right, strict=True)) + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (w + 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)) + "|"
    return "\n".join([head, rule, *body]) + "\n"


def per_cent(share: float) -> Cell:
    """Format a share as per cent with one digit."""
    return digits(100 * share, 1)


def digits(number: float | None, places: int) -> Cell:
    """Format a number with a given number of decimal places."""
    shown = NOTHING if number is None or math.isnan(number) else f"{number:.{places}f}".replace("-", "−")
    return Cell(value=number, shown=shown)


def setting(value: Value) -> Cell:
    """Format a configuration's value: floats with three digits, switches as yes and no."""
    if value is None:
        return Cell(value=None, shown=NOTHING)
    if isinstance(value, bool):
        return Cell(value=value, shown="yes" if value else "no")
    return Cell(value=value, shown=f"{value:.3g}" if isinstance(value, float) else str(value))


def _value(cell: Cell | Value) -> Value:
    return cell.value if isinstance(cell, Cell) else cell


def _shown(cell: Cell | Value) -> str:
    if isinstance(cell, Cell):
        return cell.shown
    return NOTHING if cell is None or (isinstance(cell, float) and math.isnan(cell)) else str(cell)


def _raw(cell: Cell | Value, digits: int | None) -> Value:
    value = _value(cell)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return float(f"{value:.{digits}g}") if isinstance(value, float) and digits is not None else value
