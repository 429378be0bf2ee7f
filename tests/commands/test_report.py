import subprocess
import sys
from pathlib import Path

import pytest

from sceneshift.commands.report import find_study
from sceneshift.errors import StudyError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def results(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "optuna.db").touch()
    (tmp_path / "training").mkdir()
    return tmp_path


def test_a_study_is_found_by_folder_and_by_name(results):
    assert find_study(str(results / "first"), storage_path=Path("elsewhere")) == results / "first"
    assert find_study("second", storage_path=results) == results / "second"


@pytest.mark.parametrize(
    ("study", "expected"),
    [
        ("frist", r"'frist'.*'first'"),
        ("training", "'training'"),
    ],
)
def test_a_wrong_name_lists_the_studies_there_are(results, study, expected):
    with pytest.raises(StudyError, match=expected):
        find_study(study, storage_path=results)


def test_a_folder_of_studies_is_no_study_and_one_without_any_says_so(results):
    with pytest.raises(StudyError, match=r"optuna.db"):
        find_study(str(results), storage_path=results)
    with pytest.raises(StudyError, match="holds none"):
        find_study("first", storage_path=results / "training")


def test_the_script_shows_where_the_page_is_and_fails_with_a_message(results):
    done = subprocess.run(
        [sys.executable, "experiments/report.py", "nothing", "--storage-path", str(results)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "'nothing'" in done.stderr
    assert str(results) in done.stderr


def test_the_command_line_imports_nothing_heavy():
    script = (
        "import sys, sceneshift.commands.report\n"
        "sys.exit(bool({'torch', 'ray', 'mlflow', 'optuna', 'matplotlib', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0
