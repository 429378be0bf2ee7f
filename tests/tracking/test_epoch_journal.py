import json

import pytest

from sceneshift.errors import StorageError
from sceneshift.tracking.epoch_journal import EpochJournal


def journal_with(path, *epochs):
    journal = EpochJournal(path)
    for epoch in epochs:
        journal.add(epoch, {"loss": 1 / 3 / epoch})
    return journal


def test_what_was_added_is_read_back_to_the_last_bit(tmp_path):
    written = journal_with(tmp_path / "epochs.jsonl", 1, 2)
    read = EpochJournal(tmp_path / "epochs.jsonl")
    assert read.entries == written.entries
    assert read.entries[2].metrics == {"loss": 1 / 3 / 2}


def test_an_epoch_reported_twice_is_as_first_reported(tmp_path):
    journal = journal_with(tmp_path / "epochs.jsonl", 1)
    first = journal.entries[1]
    assert journal.add(1, {"loss": 9.0}) == first
    assert EpochJournal(tmp_path / "epochs.jsonl").entries == {1: first}


def test_of_a_line_that_was_cut_anywhere_nothing_is_taken_and_the_next_is_whole(tmp_path):
    path = tmp_path / "epochs.jsonl"
    journal_with(path, 1, 2)
    whole = path.read_bytes()
    second = whole.index(b"\n") + 1
    for length in range(second, len(whole) - 2):
        path.write_bytes(whole[:length])
        journal = EpochJournal(path)
        assert list(journal.entries) == [1]
        journal.add(2, {"loss": 0.5})
        assert EpochJournal(path).entries[2].metrics == {"loss": 0.5}


@pytest.mark.parametrize("line", ["[]", "3", '{"epoch": 1}', '{"epoch": null, "at_ms": 1, "metrics": {}}', "\x00\x00"])
def test_a_line_that_is_none_is_left_aside(tmp_path, line):
    path = tmp_path / "epochs.jsonl"
    path.write_text(f"{line}\n" + json.dumps({"epoch": 2, "at_ms": 1, "metrics": {"a": 0.5}}) + "\n")
    assert list(EpochJournal(path).entries) == [2]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    journal = EpochJournal(tmp_path / "none" / "epochs.jsonl")
    with pytest.raises(StorageError, match=r"epochs\.jsonl"):
        journal.add(1, {})
    assert journal.entries == {}
