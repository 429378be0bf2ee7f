import csv
import io
import math

import pytest

from sceneshift.report.confusion_table import confusion_table
from sceneshift.report.tables import Cell, Table, digits, per_cent, setting

TABLE = Table(
    name="t_1",
    caption="100 % of a & b_c.",
    columns=("class | name", "share, %", "n"),
    rows=[('a & b_c, "d"', per_cent(0.123456), 3), ("x<y>", per_cent(math.nan), None)],
)


def test_csv_holds_whole_numbers_and_nothing_as_nothing():
    rows = list(csv.reader(io.StringIO(TABLE.csv(), newline="")))
    assert rows == [["class | name", "share, %", "n"], ['a & b_c, "d"', "12.3456", "3"], ["x<y>", "", ""]]


def test_markdown_has_as_many_cells_in_every_line_and_numbers_to_the_right():
    lines = TABLE.markdown().splitlines()[:4]
    assert {line.replace("\\|", "").count("|") for line in lines} == {4}
    assert len({len(line) for line in lines}) == 1
    assert lines[1].count(":") == 2
    assert "12.3 |" in lines[2]


def test_latex_escapes_what_is_special_and_is_balanced():
    text = TABLE.latex()
    assert r"a \& b\_c" in text
    assert r"100 \% of" in text
    assert "\\label{tab:t-1}" in text
    for environment in ("table", "tabular"):
        assert text.count(f"\\begin{{{environment}}}") == text.count(f"\\end{{{environment}}}") == 1
    bare = text.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    body = text.split("\\midrule")[1].split("\\bottomrule")[0]
    assert [line.replace(r"\&", "").count("&") for line in body.strip().splitlines()] == [2, 2]
    assert all(line.endswith(r"\\") for line in body.strip().splitlines())
    assert "resizebox" not in text


def test_a_wide_table_is_shrunk_in_latex():
    wide = Table(name="w", caption="", columns=("a",), rows=[(1,)], wide=True).latex()
    assert wide.index("\\resizebox") < wide.index("\\begin{tabular}") < wide.index("\\end{tabular}\n  }")


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (digits(-0.0441, 3), "−0.044"),
        (digits(None, 1), "–"),
        (setting(0.00833721), "0.00834"),
        (setting(True), "yes"),
        (setting(None), "–"),
        (setting("minmax"), "minmax"),
    ],
)
def test_figures_are_shown_as_people_read_them(cell, shown):
    assert isinstance(cell, Cell)
    assert cell.shown == shown


def test_a_confusion_matrix_is_shaded_by_the_share_of_its_row():
    import numpy as np

    table = confusion_table("p", "best", np.array([[30, 10], [0, 0]]), class_names=("a<", "b"))
    assert table.shaded == [("a<", [(30, 0.465), (10, 0.155)]), ("b", [(0, 0.0), (0, 0.0)])]
    assert list(csv.reader(io.StringIO(table.csv())))[1] == ["a<", "30", "10"]


def test_bold_cells_are_bold_in_every_text_and_plain_in_csv():
    cells = [Cell(value=1.5, shown="1.5 ± 0.1", strong=True), Cell(value=2.5, shown="2.5")]
    table = Table(name="b", caption="c.", columns=("x", "y"), rows=[cells])
    assert "**1.5 ± 0.1**" in table.markdown()
    assert "**2.5" not in table.markdown()
    assert "\\textbf{1.5 $\\pm$ 0.1} & 2.5" in table.latex()
    assert table.csv().splitlines() == ["x,y", "1.5,2.5"]
    assert table.strong == [[True, False]]


def test_notes_follow_the_caption_in_files(tmp_path):
    table = Table(name="n", caption="c.", columns=("x",), rows=[(1,)], notes="How & why.", printed=False)
    assert table.markdown().endswith("\nc. How & why.\n")
    assert "\\caption{c. How \\& why.}" in table.latex()
    assert [path.name for path in table.write(tmp_path)] == ["n.md", "n.csv"]


def test_three_files_are_written(tmp_path):
    assert sorted(path.name for path in TABLE.write(tmp_path)) == ["t_1.csv", "t_1.md", "t_1.tex"]
    assert (tmp_path / "t_1.csv").read_bytes().decode() == TABLE.csv()
    assert len(list(tmp_path.iterdir())) == 3


def test_csv_has_all_digits_or_as_many_as_are_asked_for(tmp_path):
    table = Table(name="n", columns=["x", "y"], rows=[[0.1 + 0.2, 1]], caption="c")
    assert table.csv().splitlines() == ["x,y", "0.30000000000000004,1"]
    assert table.csv(digits=12).splitlines() == ["x,y", "0.3,1"]
    table.write(tmp_path, digits=12)
    assert (tmp_path / "n.csv").read_text().splitlines() == ["x,y", "0.3,1"]
