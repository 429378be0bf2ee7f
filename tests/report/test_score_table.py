from sceneshift.report.score_table import render_scores

SCORES = {"oa": 0.5, "aa": 0.25, "kappa": 0.1}
FIGURES = ["50.0", "25.0", "0.100"]


def cells_of(line):
    return [cell.strip() for cell in line.strip("| ").split("|")]


def test_a_table_has_no_validation_where_none_was_held_back_and_names_normalizations():
    row = {"pair": "a-b", "normalization": "derivative", "seconds": 12.34, "target": SCORES}
    table = render_scores(
        [
            {**row, "role": "best", "validation": SCORES},
            {**row, "role": "best, every field", "validation": None},
            {**row, "role": "majority class", "validation": SCORES, "normalization": None, "seconds": None},
        ],
        profile="p",
    )
    lines = table.splitlines()
    cells = [cells_of(line) for line in lines]
    assert cells[0] == [
        "pair",
        "profile p",
        "normalization",
        "val OA",
        "val AA",
        "val kappa",
        "target OA",
        "target AA",
        "target kappa",
        "s",
    ]
    assert cells[2] == ["a-b", "best", "derivative", *FIGURES, *FIGURES, "12.3"]
    assert cells[3] == ["a-b", "best, every field", "derivative", "-", "-", "-", *FIGURES, "12.3"]
    assert cells[4] == ["a-b", "majority class", "-", *FIGURES, *FIGURES, "-"]
    assert len({len(line) for line in lines}) == 1
    assert table.endswith("|\n")


def test_without_rows_there_is_a_header_alone():
    assert len(render_scores([], profile="p").splitlines()) == 2
