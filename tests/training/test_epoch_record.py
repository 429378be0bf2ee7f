"""The record's files: what goes in comes out, in order, and damage is an error with a name."""

import contextlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from sceneshift.errors import InvalidInputError, StorageError, StudyError
from sceneshift.training.epoch_record import FORMAT, EpochRecord, Outputs, PairHeader, RecordFolder

PIXELS, CLASSES, FEATURES, TARGETS = 5, 3, 4, 7


def header(pair: str = "a-b", **changes) -> PairHeader:
    values = {
        "pair": pair,
        "num_classes": CLASSES,
        "validation_pixels": np.arange(10, 10 + PIXELS),
        "validation_labels": np.array([0, 0, 1, 2, 2]),
        "target_pixels": np.arange(TARGETS) * 3,
        "shifts": ("haze", "noise"),
        "seed": 2**62 + 1,
        "num_features": FEATURES,
        "projection": np.random.default_rng(0).normal(size=(6, FEATURES)).astype(np.float32),
    }
    return PairHeader(**{**values, **changes})


def record(epoch: int, pair: str = "a-b", *, is_average: bool = False, **changes) -> EpochRecord:
    rng = np.random.default_rng([epoch, is_average, len(pair)])

    def numbers(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float16)

    values = {
        "validation": Outputs(logits=numbers(PIXELS, CLASSES), features=numbers(PIXELS, FEATURES)),
        "shifted": numbers(2, PIXELS, CLASSES),
        "target": Outputs(logits=numbers(TARGETS, CLASSES), features=numbers(TARGETS, FEATURES)),
    }
    return EpochRecord(pair=pair, epoch=epoch, is_average=is_average, **{**values, **changes})


def assert_same(one: np.ndarray | None, other: np.ndarray | None) -> None:
    if one is None or other is None:
        assert one is other
        return
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


def assert_same_record(one: EpochRecord, other: EpochRecord) -> None:
    assert (one.pair, one.epoch, one.is_average) == (other.pair, other.epoch, other.is_average)
    assert_same(one.shifted, other.shifted)
    for mine, its in ((one.validation, other.validation), (one.target, other.target)):
        assert (mine is None) == (its is None)
        if mine is not None and its is not None:
            assert_same(mine.logits, its.logits)
            assert_same(mine.features, its.features)


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "record").iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> RecordFolder:
    return RecordFolder(str(tmp_path))


def test_records_come_back_as_they_were_in_order_from_parts_and_from_the_whole(folder, tmp_path):
    expected = [record(2), record(12), record(12, is_average=True)]
    folder.write({"a-b": header()}, expected[1:])
    folder.write({"a-b": header()}, expected[:1])
    assert names(tmp_path) == {"epoch_00002.parquet", "epoch_00012.parquet"}
    for _ in range(2):
        found = folder.read()
        for one, other in zip(found.records, expected, strict=True):
            assert_same_record(one, other)
        (its,) = found.headers.values()
        for name, value in vars(header()).items():
            np.testing.assert_array_equal(getattr(its, name), value)
        assert its.projection.dtype == np.float32
        folder.compact()
        assert names(tmp_path) == {"epochs.parquet"}
    folder.compact()
    assert names(tmp_path) == {"epochs.parquet"}


def test_several_pairs_share_a_file_and_each_has_its_own_records(folder):
    headers = {pair: header(pair) for pair in ("a-b", "c-d-e")}
    for epoch in (1, 2):
        folder.write(headers, [record(epoch, pair) for pair in reversed(headers)])
    found = folder.read()
    assert [(r.epoch, r.pair) for r in found.records] == [(1, "a-b"), (1, "c-d-e"), (2, "a-b"), (2, "c-d-e")]
    for one, epoch in zip(found.of("c-d-e"), (1, 2), strict=True):
        assert_same_record(one, record(epoch, "c-d-e"))


def test_what_a_classifier_or_a_training_lacks_stays_missing(folder):
    bare = header(shifts=(), target_pixels=None, num_features=None, projection=None)
    logits = np.ones((PIXELS, CLASSES), np.float16)
    given = record(1, validation=Outputs(logits=logits, features=None), shifted=None, target=None)
    folder.write({"a-b": bare}, [given])
    found = folder.read()
    assert_same_record(found.records[0], given)
    assert found.headers["a-b"].target_pixels is None
    assert found.headers["a-b"].projection is None


def test_an_epoch_written_again_is_replaced(folder):
    folder.write({"a-b": header()}, [record(1, shifted=np.zeros((2, PIXELS, CLASSES), np.float16))])
    folder.write({"a-b": header()}, [record(1)])
    (only,) = folder.read().records
    assert_same_record(only, record(1))


def test_parts_left_next_to_the_whole_are_not_counted_twice(folder, tmp_path):
    folder.write({"a-b": header()}, [record(1)])
    part = (tmp_path / "record" / "epoch_00001.parquet").read_bytes()
    folder.compact()
    (tmp_path / "record" / "epoch_00001.parquet").write_bytes(part)
    assert [r.epoch for r in folder.read().records] == [1]


@pytest.mark.parametrize("compacted", [False, True])
def test_epochs_that_will_be_trained_again_are_forgotten(folder, tmp_path, compacted):
    for epoch in (1, 2, 3):
        folder.write({"a-b": header()}, [record(epoch)])
    if compacted:
        folder.compact()
    folder.forget_after(2)
    assert [r.epoch for r in folder.read().records] == [1, 2]
    folder.forget_after(0)
    assert names(tmp_path) == set()
    assert folder.headers() is None


def test_only_the_columns_that_are_asked_for_are_read(folder):
    folder.write({"a-b": header()}, [record(1)])
    (only,) = folder.read(columns=["target_logits"]).records
    assert_same(only.target.logits, record(1).target.logits)
    assert only.target.features is None
    assert only.shifted is None
    assert only.validation.logits.shape == (0, CLASSES)
    with pytest.raises(InvalidInputError, match="'target'"):
        folder.read(columns=["target"])


def test_a_uri_is_a_place_too(tmp_path):
    folder = RecordFolder(f"file://{tmp_path}/trial")
    folder.write({"a-b": header()}, [record(1)])
    assert_same_record(RecordFolder(str(tmp_path / "trial")).read().records[0], record(1))


class TestDamage:
    @pytest.mark.parametrize("place", [0.01, 0.3, 0.5, 0.7, 0.99])
    def test_a_changed_byte_is_never_read_as_something_else(self, folder, tmp_path, place):
        folder.write({"a-b": header()}, [record(1)])
        path = tmp_path / "record" / "epoch_00001.parquet"
        content = bytearray(path.read_bytes())
        content[int(place * len(content))] ^= 0x11
        path.write_bytes(content)
        with contextlib.suppress(StudyError):  # unless nothing is read from that byte
            assert_same_record(folder.read().records[0], record(1))

    def test_a_changed_byte_of_the_logits_is_noticed(self, folder, tmp_path):
        folder.write({"a-b": header()}, [record(1)])
        path = tmp_path / "record" / "epoch_00001.parquet"
        chunk = pq.ParquetFile(path).metadata.row_group(0).column(3)
        content = bytearray(path.read_bytes())
        content[chunk.data_page_offset + chunk.total_compressed_size - 3] ^= 0x11
        path.write_bytes(content)
        with pytest.raises(StudyError, match=r"epoch_00001.parquet"):
            folder.read()

    @pytest.mark.parametrize("size", [0, 40])
    def test_a_cut_file_is_noticed(self, folder, tmp_path, size):
        folder.write({"a-b": header()}, [record(1)])
        path = tmp_path / "record" / "epoch_00001.parquet"
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(StudyError, match="is damaged"):
            folder.read()

    def test_another_format_is_refused_by_its_number(self, folder, tmp_path):
        folder.write({"a-b": header()}, [record(1)])
        path = tmp_path / "record" / "epoch_00001.parquet"
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"sceneshift.format": b"9"}), path)
        with pytest.raises(StudyError, match=f"format 9; .* reads format {FORMAT}"):
            folder.read()

    def test_a_file_of_others_is_refused(self, folder, tmp_path):
        (tmp_path / "record").mkdir()
        pq.write_table(pa.table({"x": [1]}), tmp_path / "record" / "epochs.parquet")
        with pytest.raises(StudyError, match="format none"):
            folder.read()

    def test_nothing_recorded_is_reported(self, folder):
        with pytest.raises(StudyError, match="--record"):
            folder.read()

    def test_a_place_that_can_not_be_written_is_reported(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match="/file"):
            RecordFolder(str(tmp_path / "file")).write({"a-b": header()}, [record(1)])
