import numpy as np
import pytest

from sceneshift.errors import StudyError
from sceneshift.studies.published_rows import batch_path, read_batch, read_facts, write_batch

REACHED = np.linspace(0.1, 0.65, 12).reshape(3, 2, 2)
SCORES = {"source-blocks": np.where(np.arange(2) == 1, REACHED, np.nan)}


def test_rows_come_back_as_they_were_written(tmp_path, design, batch):
    written = batch("sw-se", REACHED, SCORES)
    path = batch_path(tmp_path, "sw-se", "cross_entropy")
    write_batch(path, written)
    read = read_batch(path, design)
    assert read.facts == written.facts
    assert read.rows["target_oa"].tolist() == written.rows["target_oa"].tolist()
    assert np.array_equal(read.rows["score:source-blocks"], written.rows["score:source-blocks"], equal_nan=True)
    assert read.confusion(read.rows.iloc[1]).tolist() == [[1, 2], [3, 4]]
    assert read.confusion(read.rows.iloc[0]) is None
    assert read.rows["predicted"].iloc[1] == bytes([0, 1, 1])


def test_a_file_says_that_target_labels_were_read(tmp_path, batch):
    path = batch_path(tmp_path, "sw-se", "cross_entropy")
    write_batch(path, batch("sw-se", REACHED, SCORES))
    assert read_facts(path).target_labels_read is True


def test_more_trainings_are_never_replaced_by_fewer(tmp_path, design, batch):
    path = batch_path(tmp_path, "sw-se", "cross_entropy")
    write_batch(path, batch("sw-se", REACHED, SCORES))
    with pytest.raises(StudyError, match="6"):
        write_batch(path, batch("sw-se", REACHED[:2], {}, num_cells=4))
    assert len(read_batch(path, design).rows) == 12


@pytest.mark.parametrize(
    ("reached", "facts"),
    [
        (REACHED[:, :, :1], {}),  # one epoch of two
        (REACHED, {"drawn_at_random": False}),
        (REACHED, {"design": "another"}),
        (REACHED, {"method": "s2amsnet"}),
        (np.concatenate([REACHED, REACHED]), {}),  # configurations that were not drawn
    ],
    ids=["cut short", "not random", "another design", "another method", "unknown configurations"],
)
def test_only_random_trials_of_the_design_that_ran_in_full_may_enter(tmp_path, design, batch, reached, facts):
    path = tmp_path / "rows.parquet"
    write_batch(path, batch("sw-se", reached, {}, **facts))
    with pytest.raises(StudyError):
        read_batch(path, design)


def test_a_damaged_file_is_named(tmp_path, design, batch):
    path = batch_path(tmp_path, "sw-se", "cross_entropy")
    write_batch(path, batch("sw-se", REACHED, SCORES))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StudyError, match="sw-se"):
        read_batch(path, design)
