"""Results of a comparison: written and read without loss, damage and other versions refused."""

import json
from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from sceneshift.comparison.results import CellResult, ComparisonResults
from sceneshift.errors import MissingDataError, StudyError


def cell(**changes) -> CellResult:
    values = {
        "pair": "west-east",
        "group": "indian-pines",
        "method": "cross_entropy",
        "label": "CE",
        "is_floor": False,
        "protocol": "tune-once",
        "budget": "40 epochs",
        "strategy": "source-blocks",
        "seed": 1,
        "trained_on": "fields",
        "configuration": 3,
        "epoch": 40,
        "epochs": 40,
        "seconds": 12.5,
        "oa": 0.7,
        "aa": 0.65,
        "kappa": 0.4,
        "confusion": np.array([[4, 1], [2, 3]]),
        "class_names": ("corn", "soybean"),
    }
    return CellResult(**(values | changes))


def results() -> ComparisonResults:
    failed = cell(
        seed=2, oa=np.nan, aa=np.nan, kappa=np.nan, confusion=np.zeros((2, 2), dtype=np.int64), failed="diverged"
    )
    return ComparisonResults(
        name="two", cells=(cell(), failed), caption={"profile": "quick"}, joins={"source-blocks": 2}
    )


def test_written_results_are_read_without_loss(tmp_path):
    written = results()
    written.write(tmp_path / "deep" / "results.parquet")
    read = ComparisonResults.read(tmp_path / "deep" / "results.parquet")
    assert (read.name, read.caption, read.joins) == (written.name, written.caption, written.joins)
    assert len(read.cells) == 2
    for before, after in zip(written.cells, read.cells, strict=True):
        for each in fields(CellResult):
            was, found = getattr(before, each.name), getattr(after, each.name)
            if each.name == "confusion":
                assert found.dtype == np.int64
                np.testing.assert_array_equal(found, was)
            else:
                assert found == was or (np.isnan(found) and np.isnan(was))
                assert type(found) is type(was) or each.name in ("oa", "aa", "kappa")


def test_files_of_earlier_versions_have_no_settings(tmp_path):
    replace(results(), cells=(cell(settings='{"lr": 0.001}'),)).write(tmp_path / "new.parquet")
    assert ComparisonResults.read(tmp_path / "new.parquet").cells[0].settings == '{"lr": 0.001}'
    pq.write_table(pq.read_table(tmp_path / "new.parquet").drop_columns("settings"), tmp_path / "old.parquet")
    assert ComparisonResults.read(tmp_path / "old.parquet").cells[0].settings == ""


def test_the_frame_has_a_row_per_network_and_no_matrix():
    frame = results().as_frame()
    assert list(frame["seed"]) == [1, 2]
    assert set(frame.columns) == {f.name for f in fields(CellResult)} - {"confusion", "class_names"}
    assert ComparisonResults(name="none", cells=(), caption={}, joins={}).as_frame().empty


def test_a_matrix_of_another_size_is_refused():
    with pytest.raises(StudyError):
        cell(confusion=np.zeros((3, 3), dtype=np.int64))
    with pytest.raises(StudyError):
        replace(cell(), trained_on="everything")


def test_missing_damaged_and_other_files_are_refused(tmp_path):
    path = tmp_path / "results.parquet"
    with pytest.raises(MissingDataError):
        ComparisonResults.read(path)
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(StudyError):
        ComparisonResults.read(path)
    pq.write_table(pa.table({"pair": ["a"]}), path)
    with pytest.raises(StudyError):
        ComparisonResults.read(path)
    metadata = {b"sceneshift.comparison": json.dumps({"format": 99}).encode()}
    pq.write_table(pa.table({"pair": ["a"]}).replace_schema_metadata(metadata), path)
    with pytest.raises(StudyError):
        ComparisonResults.read(path)
