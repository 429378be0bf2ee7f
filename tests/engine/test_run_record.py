"""What a run keeps of how it began, and what becomes of it when it is resumed."""

import json
import re
from dataclasses import replace

import pytest

import sceneshift
from sceneshift.engine.run_record import JOURNAL, RunRecord, give_back, open_run_directory
from sceneshift.errors import StorageError, StudyError

NOW = RunRecord(
    settings={"format": 2, "seed": 0, "config.lr": 0.1, "pairs": ("a-b",)},
    origin={"code": "c0de", "source.hash.a-b": "11"},
    tracking="sqlite:///m.db",
    changes=(),
)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "training" / "r"


def begin(directory, now=NOW):
    return open_run_directory(directory, "r", resume=False, now=now)


def resume(directory, now=NOW):
    return open_run_directory(directory, "r", resume=True, now=now)


def written(directory):
    return (directory / "settings.json").read_text()


def with_settings(**changes):
    return replace(NOW, settings={**NOW.settings, **{name.replace("_", "."): v for name, v in changes.items()}})


class TestBeginning:
    def test_settings_and_origin_are_written(self, directory):
        assert begin(directory) == NOW
        assert json.loads(written(directory)) == {
            "settings": {"format": 2, "seed": 0, "config.lr": 0.1, "pairs": ["a-b"]},
            "origin": NOW.origin,
            "tracking": "sqlite:///m.db",
            "changes": [],
        }
        assert [path.name for path in directory.iterdir()] == ["settings.json"]

    def test_a_name_is_taken_once(self, directory):
        begin(directory)
        before = written(directory)
        with pytest.raises(StudyError, match=r"'r'.*--resume"):
            begin(directory, with_settings(seed=1))
        assert written(directory) == before

    def test_a_place_that_can_not_be_made_is_a_fault_of_storage(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match=re.escape(str(tmp_path / "file" / "r"))):
            begin(tmp_path / "file" / "r")

    def test_where_the_settings_can_not_be_written_the_name_is_free_again(self, directory, monkeypatch):
        def full(self, path):
            raise OSError("no space left on device")

        monkeypatch.setattr(RunRecord, "write", full)
        with pytest.raises(StorageError, match="no space left on device"):
            begin(directory)
        assert not directory.exists()


class TestResuming:
    def test_the_same_run_is_continued(self, directory):
        begin(directory)
        before = written(directory)
        record = resume(directory)
        # Tuples come back from JSON as lists, and are the same setting.
        assert (record.settings["pairs"], record.origin, record.changes) == (["a-b"], NOW.origin, ())
        assert written(directory) == before

    def test_what_was_not_begun_is_refused(self, directory):
        with pytest.raises(StudyError, match="'r'"):
            resume(directory)
        assert not directory.exists()

    def test_other_settings_are_refused_by_name(self, directory):
        begin(directory)
        before = written(directory)
        with pytest.raises(StudyError) as refused:
            resume(directory, with_settings(seed=1, config_lr=0.5))
        lines = [line.strip() for line in str(refused.value).splitlines() if ": was " in line]
        assert lines == ["config.lr: was 0.1, is 0.5", "seed: was 0, is 1"]
        assert written(directory) == before

    def test_a_setting_that_was_not_there_is_another(self, directory):
        begin(directory)
        with pytest.raises(StudyError, match="'blocks'"):
            resume(directory, with_settings(split="blocks"))

    @pytest.mark.parametrize("found", [1, None])
    def test_a_run_of_another_format_is_refused_with_the_version(self, directory, found):
        settings = {name: value for name, value in NOW.settings.items() if name != "format"}
        begin(directory, replace(NOW, settings=settings if found is None else {**settings, "format": found, "seed": 9}))
        before = written(directory)
        with pytest.raises(StudyError, match=re.escape(f"version {sceneshift.__version__}")) as refused:
            resume(directory)
        assert ": was " not in str(refused.value)
        assert written(directory) == before

    def test_other_code_and_data_are_recorded_once_each(self, directory):
        begin(directory)
        other = replace(NOW, origin={**NOW.origin, "code": "beef"})
        assert resume(directory, other).changes == ("code: was 'c0de', is 'beef'",)
        kept = RunRecord.read(directory / "settings.json")
        assert (kept.origin, kept.changes) == (other.origin, ("code: was 'c0de', is 'beef'",))
        assert resume(directory, other).changes == ("code: was 'c0de', is 'beef'",)
        assert resume(directory).changes == ("code: was 'c0de', is 'beef'", "code: was 'beef', is 'c0de'")

    def test_it_stays_with_the_mlflow_it_began_at(self, directory):
        begin(directory)
        assert resume(directory, replace(NOW, tracking="http://elsewhere")).tracking == "sqlite:///m.db"

    @pytest.mark.parametrize("text", ["", '{"settings": {}', "[]", '{"settings": {}, "changes": []}'])
    def test_a_damaged_record_is_named(self, directory, text):
        begin(directory)
        (directory / "settings.json").write_text(text)
        with pytest.raises(StudyError, match=r"settings\.json"):
            resume(directory)


class TestGivingBack:
    def test_a_run_without_an_epoch_frees_its_name(self, directory):
        begin(directory)
        (directory / "checkpoints").mkdir()
        assert give_back(directory)
        assert not directory.exists()

    @pytest.mark.parametrize("name", [JOURNAL, "checkpoints/epoch_00001.ckpt"])
    def test_what_was_trained_stays(self, directory, name):
        begin(directory)
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).touch()
        assert not give_back(directory)
        assert (directory / name).exists()
