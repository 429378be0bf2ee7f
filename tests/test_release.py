"""What is released agrees: the version in all its places, and what runs on every push."""

import re
from datetime import date
from pathlib import Path

import pytest
import yaml

from sceneshift import __version__

ROOT = Path(__file__).resolve().parents[1]
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load(text_of("CITATION.cff"))
    (quoted,) = re.findall(r"version = \{(.+?)\}", text_of("README.md"))
    released = re.findall(r"^## \[([\d.]+)\] - ([\d-]+)$", text_of("CHANGELOG.md"), re.MULTILINE)
    version, day = released[0]
    assert {str(citation["version"]), quoted, version} == {__version__}
    assert date.fromisoformat(str(citation["date-released"])) == date.fromisoformat(day)


def test_what_runs_on_a_push_is_the_script_that_runs_here() -> None:
    workflow = yaml.safe_load(text_of(".github/workflows/ci.yml"))
    (job,) = workflow["jobs"].values()
    versions = [step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert (versions, commands) == (["3.11"], ["bash .ci/run"])
    assert (ROOT / ".ci" / "run").is_file()
    assert job["timeout-minutes"] > 20


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_something_and_every_question_has_a_name(form: Path) -> None:
    read = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert read["name"]
    assert read["description"]
    ids = [question["id"] for question in read["body"]]
    assert len(set(ids)) == len(ids) >= 3
    assert all(question["attributes"]["label"] for question in read["body"])
    assert any(question.get("validations", {}).get("required") for question in read["body"])
