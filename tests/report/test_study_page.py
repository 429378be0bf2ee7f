import csv
import io
import json
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from sceneshift.errors import StudyError
from sceneshift.report.first_screen import first_section
from sceneshift.report.page import Bullets, Paragraph, Sheet
from sceneshift.report.search_sections import searched_section
from sceneshift.report.study_page import summary_section, write_report_or_note, write_study_report
from sceneshift.report.study_record import REFITTED, StudyRecord
from sceneshift.report.tables import Table
from sceneshift.report.target_sections import leakage_section, per_class_section, scores_section

VOID = {"meta", "img", "source", "br"}


class Page(HTMLParser):
    """What a page holds: its text, its elements, and every address it names."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.addresses, self.ids = [], "", [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "href"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def closed(make_study, tmp_path_factory):
    directory, out = make_study(), tmp_path_factory.mktemp("out")
    assert write_study_report(directory, out) == out / "index.html"
    return directory, out


@pytest.fixture(scope="module")
def page(closed):
    return Page((closed[1] / "index.html").read_text(encoding="utf-8"))


def table(out, name):
    return list(csv.DictReader(io.StringIO((out / "tables" / f"{name}.csv").read_text(encoding="utf-8"))))


def test_the_page_asks_for_nothing_from_outside(closed, page):
    text = (closed[1] / "index.html").read_text(encoding="utf-8")
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert "@import" not in text
    assert "<script" not in text
    assert {a[:22] if a.startswith("data:") else a[:1] for a in page.addresses} == {"data:image/png;base64,", "#"}
    assert {a[1:] for a in page.addresses if a.startswith("#")} == set(page.ids)


def test_every_drawing_is_there_for_light_and_for_dark(page):
    pictures = [a for a in page.addresses if a.startswith("data:")]
    assert len(pictures) >= 12
    assert len(pictures) % 2 == 0
    assert len(set(pictures)) == len(pictures)


def test_names_are_escaped(page):
    assert "Target of one_<b>" in page.text
    assert "tree & bush" in page.text


def test_the_tables_hold_what_the_store_holds(closed):
    directory, out = closed
    records = StudyRecord.read(directory).records
    rows = table(out, "trials")
    assert [int(row["trial"]) for row in rows] == [record.number for record in records]
    for row, record in zip(rows, records, strict=True):
        assert float(row["val/aa"]) == record.value
        assert float(row["lr"]) == record.params["lr"]
        assert int(row["epochs"]) == record.last_epoch
        assert float(row["seconds"]) == record.seconds
        assert row["state"] == record.state
    assert [row["role"] for row in rows[:3]] == ["defaults", "best", ""]
    parameters = {row["parameter"]: row for row in table(out, "parameters")}
    assert float(parameters["lr"]["best"]) == records[1].params["lr"]
    assert float(parameters["lr"]["defaults"]) == 0.01
    assert (parameters["lr"]["range"], parameters["lr"]["scale"]) == ("0.0001 to 0.1", "log")
    assert parameters["patch_size"]["range"] == "fixed"


def test_what_stopping_saved_is_reckoned_from_each_trial_s_own_epochs(closed, page):
    by_asha, by_time = table(closed[1], "pruning")
    # Trials 2 to 6 ran 2 of 6 epochs, each of 2 + number seconds; trial 7 ran 4 of 6, at 9 s.
    assert [int(by_asha[c]) for c in ("trials", "epochs run", "epochs not run")] == [5, 10, 20]
    assert float(by_asha["seconds not spent"]) == 4 * (4 + 5 + 6 + 7 + 8)
    assert [int(by_time[c]) for c in ("trials", "epochs not run")] == [1, 2]
    assert float(by_time["seconds not spent"]) == 18
    assert re.search(r"\b20 more epochs .*\(43 % of", page.text)


def test_a_refitted_winner_has_a_row_without_validation(closed):
    directory, _ = closed
    record = StudyRecord.read(directory)
    assert record.summary is not None
    values = {"oa": 0.61, "aa": 0.52, "kappa": 0.4}
    refitted = {
        "pair": "two",
        "role": REFITTED,
        "normalization": "derivative",
        "seconds": 12.34,
        "validation": None,
        "target": values,
    }
    page = scores_section(replace(record, summary={**record.summary, "scores": [*record.summary["scores"], refitted]}))
    assert words(page).count(f"'{REFITTED}'") == 1 + words(scores_section(record)).count(f"'{REFITTED}'")
    row = page.parts[0].rows[-1]
    assert row[:6] == ("two", "best, every field", "derivative", None, None, None)
    assert row[7].shown == "52.0"
    assert row[9].shown == "12.3"


def test_units_are_with_what_was_searched_and_below_the_scores(closed):
    directory, out = closed
    values = {row[""]: row["this study"] for row in table(out, "searched")}
    assert values["unit of the numbers"] == "two: 0–1 by its own extremes (s), reflectance (t)"
    assert values["narrowed"] == "normalization: l2-per-pixel; not searched: derivative"
    record = StudyRecord.read(directory)
    texts = [part.text for part in scores_section(record).parts if isinstance(part, Paragraph)]
    assert any("reflectance (t)" in text for text in texts)
    before = {key: value for key, value in record.summary.items() if key != "units"}
    texts = [part.text for part in scores_section(replace(record, summary=before)).parts if isinstance(part, Paragraph)]
    assert not any("reflectance (t)" in text for text in texts)


def test_scores_and_intervals_are_of_the_closing(closed):
    directory, out = closed
    summary = json.loads((directory / "report" / "summary.json").read_text())
    for row, text in zip(table(out, "scores"), summary["scores"], strict=True):
        assert float(row["target AA"]) == pytest.approx(100 * text["target"]["aa"])
        assert float(row["val OA"]) == 70
    rows = {(r["pair"], r["what"], r["figure"]): r for r in table(out, "target_intervals")}
    assert REFITTED not in (out / "index.html").read_text()
    best, defaults = (rows["two", role, "AA, %"] for role in ("best", "defaults"))
    difference = rows["two", "best − defaults", "AA, %"]
    assert float(difference["value"]) == pytest.approx(float(best["value"]) - float(defaults["value"]))
    assert float(best["from"]) < float(best["value"]) < float(best["to"])


def test_classes_have_intervals_and_confusions_counts(closed):
    directory, out = closed
    counts = StudyRecord.read(directory).field_counts("two")["best"]
    rows = table(out, "per_class_two")
    assert [int(row["fields"]) for row in rows] == [4, 3, 1]
    assert float(rows[0]["best, %"]) == pytest.approx(100 * counts.scores().recall[0])
    assert rows[2]["class"] == "water *"
    confusion = table(out, "confusion_two_best")
    assert [[int(row[c]) for c in ("soil_a", "tree & bush", "water")] for row in confusion] == (
        counts.scores().confusion.tolist()
    )


def test_leakage_and_machine_are_reported(closed, page):
    rows = table(closed[1], "separation")
    assert [(r["patch"], r["inside"], r["overlapping"]) for r in rows[:2]] == [
        ("5", "0", "17"),
        ("7", "0", "17"),
    ]
    assert "opened once" in page.text
    assert "one flight (f)" in page.text
    assert "a note on the pair" in page.text
    assert "c0ffee with uncommitted" in page.text
    assert "a processor" in page.text


def test_few_trials_are_called_a_lead(page):
    assert "8 trials, for 3 parameters: " in page.text
    assert "Left out, " in page.text
    assert ": flips." in page.text


def test_the_markdown_says_the_same_and_links_nothing(closed):
    text = (closed[1] / "report.md").read_text(encoding="utf-8")
    title, _, intro = text.partition("\n\n")
    assert title == "# Study made"
    assert re.findall("s2amsnet|across scenes|profile made", intro)[:3] == ["s2amsnet", "across scenes", "profile made"]
    assert "## Leakage" in text
    assert "http" not in text


def words(section):
    """All that a section says outside its tables and pictures."""
    texts = [part.text for part in section.parts if isinstance(part, Paragraph)]
    texts += [item for part in section.parts if isinstance(part, Bullets) for item in part.items]
    return " ".join([section.intro, *texts])


def warnings_of(section):
    """The paragraphs of a section that warn."""
    return [part.text for part in section.parts if isinstance(part, Paragraph) and part.warns]


def test_a_study_that_has_hardly_begun_has_a_page_next_to_its_files(make_study):
    directory = make_study(closed=False, num_trials=1)
    before = {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()}
    page = write_study_report(directory)
    assert page == directory / "report" / "index.html"
    text = Page(page.read_text(encoding="utf-8")).text
    (warning,) = warnings_of(first_section(StudyRecord.read(directory)))
    assert re.findall(r"\d+", warning) == ["1", "0"]
    assert warning in text
    assert "1 trials reached epoch" in text
    assert "too few" in text
    after = {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()}
    assert {p: after[p] for p in before} == before
    names = {p.relative_to(directory).parts[1] for p in after.keys() - before.keys()}
    assert names == {"index.html", "report.md", "tables"}


def test_a_folder_that_can_t_be_written_is_reported(make_study, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match="file/below"):
        write_study_report(make_study(closed=False, num_trials=1), tmp_path / "file" / "below")


def test_before_the_closing_the_leader_is_named_and_the_target_unopened(make_study):
    record = StudyRecord.read(make_study(closed=False))
    assert re.search(r"trial 1, val/aa 0\.700 .*0\.600 of the defaults", words(summary_section(record)))
    assert "never opened" in words(leakage_section(record))
    assert "not closed" in words(scores_section(record))


def test_a_study_without_notes_says_what_is_missing(make_study):
    record = StudyRecord.read(make_study(evidence=False))
    for section in (scores_section(record), per_class_section(record)):
        assert "no counts by field" in words(section)
    assert "separation of the sides" in words(leakage_section(record))


def test_trials_added_since_the_closing_are_reported(make_study):
    directory = make_study()
    assert warnings_of(first_section(StudyRecord.read(directory))) == []
    path = directory / "report" / "summary.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps({**summary, "trials": {**summary["trials"], "pruned": 3}}))
    (warning,) = warnings_of(first_section(StudyRecord.read(directory)))
    assert "--resume" in warning


def test_the_first_screen_has_verdicts_scores_maps_and_what_to_do_next(make_study):
    record = StudyRecord.read(make_study())
    section = first_section(record)
    assert not section.is_folded
    (table,) = [part for part in section.parts if isinstance(part, Table)]
    assert len(table.columns) == 1 + 2 * len(record.pairs)
    names = [str(row[0]) for row in table.rows]
    assert any("registered" in name for name in names)
    assert set(record.shown()) <= {name.removesuffix(" (registered)") for name in names}
    row = next(row for row in record.summary["scores"] if row["role"] == "best")
    (shown,) = [found for found in table.rows if str(found[0]).removesuffix(" (registered)") == "best"]
    at = 2 + 2 * list(record.pairs).index(row["pair"])
    assert shown[at] == f"{100 * row['target']['oa']:.1f} / {100 * row['target']['aa']:.1f}"
    text = words(section)
    assert all(verdict["sentence"] in text for verdict in record.verdicts)
    assert "sceneshift predict" in text


def test_before_the_closing_the_first_screen_shows_no_target(make_study):
    section = first_section(StudyRecord.read(make_study(closed=False)))
    assert not [part for part in section.parts if isinstance(part, Table | Sheet)]
    assert section.parts[0].warns


def test_a_split_that_leaks_is_called_so(make_study):
    directory = make_study()
    assert "A split leaks" not in words(leakage_section(StudyRecord.read(directory)))
    path = directory / "report" / "evidence.json"
    path.write_text(path.read_text().replace('"leaks": false', '"leaks": true'))
    assert "A split leaks" in words(leakage_section(StudyRecord.read(directory)))


@pytest.mark.parametrize("key", ["split.hash.two", "split hash of two"])
def test_hashes_of_the_splits_are_found_by_either_version_s_names(make_study, key):
    record = StudyRecord.read(make_study(closed=False))
    settings = {name: value for name, value in record.settings.items() if not name.startswith("split.hash")}
    record = replace(record, settings={**settings, key: "4567", f"test_{key}": "89ab"})
    rows = dict(searched_section(record).parts[0].rows)
    assert rows["hashes of the splits"] == "two 4567"


def test_damaged_files_are_reported_by_name(make_study, tmp_path):
    directory = make_study()
    (directory / "report" / "summary.json").write_text("{")
    with pytest.raises(StudyError, match=r"summary.json"):
        write_study_report(directory)
    (tmp_path / "optuna.db").write_bytes(b"no database at all" * 99)
    with pytest.raises(StudyError, match="damaged"):
        write_study_report(tmp_path)
    with pytest.raises(StudyError, match="trial store"):
        write_study_report(tmp_path / "nowhere")


def test_a_closing_continues_where_the_page_can_t_be_written(tmp_path, caplog):
    study = tmp_path / "it's here"
    study.mkdir()
    write_report_or_note(study)
    (note,) = caplog.messages
    assert "(StudyError: " in note
    (command,) = [line for line in note.splitlines() if "sceneshift" in line]
    assert shlex.split(command) == ["sceneshift", "report", str(study)]


def test_advice_can_be_pasted(make_study):
    """Where a floor is better: the command that trains it as it was fitted; the model by its own name."""
    directory = make_study()
    path = directory / "report" / "summary.json"
    floor = {"floor": "SVM (RBF)", "method": "rbf_svm", "normalization": "derivative", "settings": {"c": 10.0}}
    verdict = {"pair": "two", "outcome": "worse", "floor": "SVM (RBF)", "floor aa": 0.5, "sentence": "Worse on two."}
    summary = json.loads(path.read_text()) | {
        "verdicts": [verdict],
        "floors": {"two": [floor]},
        "model names": {"two": "s2amsnet-here"},
    }
    path.write_text(json.dumps(summary))
    text = words(first_section(StudyRecord.read(directory)))
    assert "sceneshift train --method rbf_svm --pair two --set normalization=derivative c=10" in text
    assert "models:/s2amsnet-here@champion" in text
    assert "--selection" not in text  # nothing was recorded
