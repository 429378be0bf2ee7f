"""What evaluated epochs leave, so that a choice can be made later without training: Parquet files.

A row is one candidate: the weights of one pair's classifier after one epoch, or their running average. It holds logits
and features, as float16, on fixed pixels of the source and, where that was allowed, of the target; no target label.
The header says for each pair which pixels they are, and has the validation pixels' labels and the projection of the
features.

Every evaluated epoch is written as a separate file, ``epoch_00012.parquet``; after the last one, all become
``epochs.parquet``. The record of a training that was stopped stays in its parts, which :meth:`RecordFolder.read` reads
just as well. Pages and header carry checksums.

Shape letters: N pixels, K classes, F features, S shifts.
"""

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet as pq

from sceneshift.errors import InvalidInputError, StudyError, first_line
from sceneshift.training.epoch_tables import EpochTables

#: The version of the files; another one is rejected.
FORMAT = 1

#: Features that are kept, at most.
MOST_FEATURES = 32

_FORMAT_KEY, _HEADER_KEY, _DIGEST_KEY = b"sceneshift.format", b"sceneshift.header", b"sceneshift.header.sha256"
_NUMBERS = pa.list_(pa.float16())
_ARRAYS = ("validation_logits", "validation_features", "shifted_logits", "target_logits", "target_features")
_SCHEMA = pa.schema(
    [
        pa.field("pair", pa.string(), nullable=False),
        pa.field("epoch", pa.int32(), nullable=False),
        pa.field("is_average", pa.bool_(), nullable=False),
        *(pa.field(name, _NUMBERS) for name in _ARRAYS),
    ]
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Outputs:
    """What a classifier answers to some pixels.

    Args:
        logits: (N, K) float16, cut to the largest number that float16 holds.
        features: (N, F) float16, the input of the final layer, projected where it has more than
            :data:`MOST_FEATURES` numbers; None where the classifier has no such layer.
    """

    logits: NDArray[np.float16]
    features: NDArray[np.float16] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class EpochRecord:
    """One candidate.

    Args:
        pair: The pair's name.
        epoch: 1-based.
        is_average: Whether the weights are the running average (:mod:`sceneshift.training.flat_average`), not the
            epoch's.
        validation: On the header's validation pixels.
        shifted: (S, N, K) float16, logits on these pixels' patches under each of the header's shifts; None without any.
        target: On the header's target pixels; None if the training was given none.
    """

    pair: str
    epoch: int
    is_average: bool
    validation: Outputs
    shifted: NDArray[np.float16] | None
    target: Outputs | None


@dataclass(frozen=True, kw_only=True, eq=False)
class PairHeader:
    """What all records of one pair in one training share.

    Args:
        pair: The pair's name.
        num_classes: K.
        validation_pixels: (N,) int64 flat indices into the source, ascending.
        validation_labels: (N,) int64 class indices 0..K-1.
        target_pixels: Flat indices into the target, ascending; None if the training was given none.
        shifts: Names of the S shifts.
        seed: Seed of the training.
        num_features: F; None where the classifier has no final layer.
        projection: (G, F) float32, the orthonormal columns onto which the G numbers of the final layer's input were
            projected; None where they were kept as they are.
    """

    pair: str
    num_classes: int
    validation_pixels: NDArray[np.int64]
    validation_labels: NDArray[np.int64]
    target_pixels: NDArray[np.int64] | None
    shifts: tuple[str, ...]
    seed: int
    num_features: int | None
    projection: NDArray[np.float32] | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **{name: _plain(value) for name, value in vars(self).items() if name != "projection"},
            "projection": None if self.projection is None else _encoded(self.projection),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "PairHeader":
        """Restore a header from :meth:`as_dict`."""
        indices = {
            name: None if values[name] is None else np.array(values[name], dtype=np.int64)
            for name in ("validation_pixels", "validation_labels", "target_pixels")
        }
        projection = None if values["projection"] is None else _decoded(values["projection"])
        return cls(**{**values, **indices, "shifts": tuple(values["shifts"]), "projection": projection})


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialOutputs:
    """What a training has left.

    Args:
        headers: By the pair's name.
        records: In the order of epochs, of the pairs' names, and the average after the epoch's weights.
    """

    headers: Mapping[str, PairHeader]
    records: tuple[EpochRecord, ...]

    def of(self, pair: str) -> tuple[EpochRecord, ...]:
        """One pair's records, in order."""
        return tuple(record for record in self.records if record.pair == pair)


class RecordFolder:
    """The records of one training, next to its checkpoints.

    Args:
        location: The location of the checkpoints: a directory, or a URI pyarrow understands (``s3://bucket/path``).

    Raises:
        InvalidInputError: pyarrow does not understand the URI.
    """

    def __init__(self, location: str) -> None:
        self._tables = EpochTables(location, "record")
        self.location = self._tables.location

    def write(self, headers: Mapping[str, PairHeader], records: Sequence[EpochRecord]) -> None:
        """Write the records of one epoch; an epoch that was written before is replaced.

        Args:
            headers: By the pair's name, of all pairs of the training.
            records: All of the epoch.

        Raises:
            StorageError: The location can't be written.
        """
        (epoch,) = {record.epoch for record in records}
        self._tables.put(_table(headers, records), epoch=epoch)

    def compact(self) -> None:
        """Make one file of all parts; done already, nothing happens.

        Raises:
            StorageError: The location can't be read or written.
            StudyError: A part is damaged.
        """
        if self._tables.parts():
            self._replace(self.read())

    def forget_after(self, epoch: int) -> None:
        """Drop what epochs left that a resumed training will train again.

        Args:
            epoch: The last epoch that it has.

        Raises:
            StorageError: The location can't be read or written.
            StudyError: A file is damaged.
        """
        for part in self._tables.parts():
            if part > epoch:
                self._tables.delete(part)
        if self._tables.has_whole():
            found = self.read()
            kept = tuple(record for record in found.records if record.epoch <= epoch)
            if not kept:
                self._tables.delete(None)
            elif len(kept) < len(found.records):
                self._replace(TrialOutputs(headers=found.headers, records=kept))

    def read(self, columns: Sequence[str] | None = None) -> TrialOutputs:
        """Read everything that was recorded.

        Args:
            columns: Which of the arrays are needed, such as ``target_logits``; others are not read, and empty or None
                in the records. By default all.

        Raises:
            StudyError: Nothing was recorded, or a file is damaged or of another version.
            StorageError: The location can't be read.
        """
        for name in columns or ():
            if name not in _ARRAYS:
                raise InvalidInputError(f"records have no column {name!r}; expected some of {', '.join(_ARRAYS)}.")
        names = self._tables.names()
        if not names:
            raise StudyError(
                f"nothing was recorded at {self.location}; train with --record, and evaluate at least one epoch."
            )
        headers: dict[str, PairHeader] = {}
        # By what they are of: a training that was cut while its parts became one has some rows twice.
        found: dict[tuple[int, str, bool], EpochRecord] = {}
        for name in names:
            headers, records = self._read(name, _ARRAYS if columns is None else tuple(columns))
            found |= {(record.epoch, record.pair, record.is_average): record for record in records}
        return TrialOutputs(headers=headers, records=tuple(found[key] for key in sorted(found)))

    def headers(self) -> Mapping[str, PairHeader] | None:
        """The headers, by the pair's name; None if nothing was recorded yet.

        Raises:
            StudyError: A file is damaged or of another version.
        """
        return self.read(columns=()).headers if self._tables.names() else None

    def _replace(self, outputs: TrialOutputs) -> None:
        self._tables.put(_table(outputs.headers, outputs.records), epoch=None)

    def _read(self, name: str, columns: tuple[str, ...]) -> tuple[dict[str, PairHeader], list[EpochRecord]]:
        content = self._tables.content(name)
        try:
            file = pq.ParquetFile(io.BytesIO(content), page_checksum_verification=True)
            metadata = file.schema_arrow.metadata or {}
            if (version := metadata.get(_FORMAT_KEY, b"").decode()) != str(FORMAT):
                raise StudyError(
                    f"the record {self._tables.path_of(name)} is of format {version or 'none'}; this version of "
                    f"sceneshift reads format {FORMAT}. Use the version that wrote it."
                )
            text = metadata[_HEADER_KEY]
            if hashlib.sha256(text).hexdigest().encode() != metadata[_DIGEST_KEY]:
                raise ValueError("its header has another checksum")
            headers = {values["pair"]: PairHeader.from_dict(values) for values in json.loads(text)}
            table = file.read(columns=["pair", "epoch", "is_average", *columns])
            return headers, [_record(headers, row) for row in _rows(table)]
        except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's ArrowInvalid is a ValueError
            raise StudyError(
                f"the record {self._tables.path_of(name)} is damaged ({first_line(error)}). Put a copy back; without "
                "one, move the file away: what other files hold can still be read."
            ) from error


def _table(headers: Mapping[str, PairHeader], records: Sequence[EpochRecord]) -> pa.Table:
    text = json.dumps([header.as_dict() for header in headers.values()]).encode()
    metadata = {
        _FORMAT_KEY: str(FORMAT).encode(),
        _HEADER_KEY: text,
        _DIGEST_KEY: hashlib.sha256(text).hexdigest().encode(),
    }
    arrays: dict[str, list[NDArray[np.float16] | None]] = {
        "validation_logits": [record.validation.logits for record in records],
        "validation_features": [record.validation.features for record in records],
        "shifted_logits": [record.shifted for record in records],
        "target_logits": [None if record.target is None else record.target.logits for record in records],
        "target_features": [None if record.target is None else record.target.features for record in records],
    }
    columns = [
        pa.array([record.pair for record in records], pa.string()),
        pa.array([record.epoch for record in records], pa.int32()),
        pa.array([record.is_average for record in records], pa.bool_()),
        *(_lists(arrays[name]) for name in _ARRAYS),
    ]
    return pa.table(columns, schema=_SCHEMA.with_metadata(metadata))


def _lists(arrays: Sequence[NDArray[np.float16] | None]) -> pa.Array:
    """One list of numbers an array; null for None."""
    flat = [np.empty(0, np.float16) if array is None else array.ravel() for array in arrays]
    offsets = np.cumsum([0, *(len(numbers) for numbers in flat)]).astype(np.int32)
    missing = pa.array([array is None for array in arrays], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(flat)), _NUMBERS, mask=missing)


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{} for _ in range(table.num_rows)]
    for name in table.column_names:
        for row, scalar in zip(rows, table[name], strict=True):
            if name in _ARRAYS:
                row[name] = scalar.values.to_numpy(zero_copy_only=False) if scalar.is_valid else None
            else:
                row[name] = scalar.as_py()
    return rows


def _record(headers: Mapping[str, PairHeader], row: Mapping[str, Any]) -> EpochRecord:
    header = headers[row["pair"]]

    def outputs(side: str, pixels: NDArray[np.int64]) -> Outputs | None:
        logits, features = row.get(f"{side}_logits"), row.get(f"{side}_features")
        if logits is None and features is None:
            return None
        return Outputs(
            logits=np.empty((0, header.num_classes), np.float16)
            if logits is None
            else logits.reshape(len(pixels), header.num_classes),
            features=None if features is None else features.reshape(len(pixels), header.num_features),
        )

    nothing = Outputs(logits=np.empty((0, header.num_classes), np.float16), features=None)
    shifted = row.get("shifted_logits")
    shape = len(header.shifts), len(header.validation_pixels), header.num_classes
    return EpochRecord(
        pair=row["pair"],
        epoch=row["epoch"],
        is_average=row["is_average"],
        validation=outputs("validation", header.validation_pixels) or nothing,
        shifted=None if shifted is None else shifted.reshape(shape),
        target=None if header.target_pixels is None else outputs("target", header.target_pixels),
    )


def _plain(value: Any) -> Any:  # noqa: ANN401
    return value.tolist() if isinstance(value, np.ndarray) else value


def _encoded(values: NDArray[np.float32]) -> dict[str, Any]:
    return {"shape": list(values.shape), "float32": base64.b64encode(values.astype("<f4").tobytes()).decode()}


def _decoded(values: Mapping[str, Any]) -> NDArray[np.float32]:
    numbers = np.frombuffer(base64.b64decode(values["float32"]), dtype="<f4")
    return numbers.reshape(values["shape"]).astype(np.float32)
