"""The class maps of a comparison's networks beside the truth of their targets, kept so that pages are drawn again.

Shape letters: H rows, W columns, K classes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet as pq

from sceneshift.errors import InvalidInputError, StorageError, StudyError, first_line
from sceneshift.safe_files import replacing

#: The file of class maps in a comparison's folder.
MAPS = "maps.parquet"

_FORMAT = 1
_FORMAT_KEY = b"sceneshift.comparison.maps"
_SCHEMA = pa.schema(
    [
        pa.field("pair", pa.string(), nullable=False),
        pa.field("note", pa.string(), nullable=False),
        pa.field("rows", pa.int32(), nullable=False),
        pa.field("class_names", pa.list_(pa.string()), nullable=False),
        pa.field("truth", pa.binary(), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("predicted", pa.list_(pa.binary()), nullable=False),
    ],
    metadata={_FORMAT_KEY: json.dumps(_FORMAT).encode()},
)


@dataclass(frozen=True, kw_only=True, eq=False)
class PairMaps:
    """The class maps of one pair's target.

    Args:
        pair: The pair.
        note: Which networks these are, such as their seed and strategy.
        truth: (H, W) class ids 1..K, 0 = unlabelled.
        predicted: (H, W) class ids 1..K by label, in the order in which they are drawn; 0 = no class.
        class_names: K names, at most 255.

    Raises:
        InvalidInputError: A map has another shape than the truth, or an id outside 0..K.
    """

    pair: str
    note: str
    truth: NDArray[np.integer]
    predicted: Mapping[str, NDArray[np.integer]]
    class_names: Sequence[str]

    def __post_init__(self) -> None:
        for name, ids in {"truth": self.truth, **self.predicted}.items():
            if ids.ndim != 2 or ids.shape != self.truth.shape or ids.size == 0:
                raise InvalidInputError(
                    f"map of {name} on {self.pair} has shape {ids.shape}; expected the truth's (H, W), "
                    f"{self.truth.shape}."
                )
            if ids.min() < 0 or ids.max() > len(self.class_names):
                raise InvalidInputError(
                    f"map of {name} on {self.pair} has ids {ids.min()}..{ids.max()}; expected "
                    f"0..{len(self.class_names)}."
                )


def write_maps(maps: Sequence[PairMaps], path: Path) -> None:
    """Write the maps of all pairs to one Parquet file.

    Raises:
        StorageError: It can't be written.
    """
    rows = [
        {
            "pair": each.pair,
            "note": each.note,
            "rows": each.truth.shape[0],
            "class_names": list(each.class_names),
            "truth": _as_bytes(each.truth),
            "labels": list(each.predicted),
            "predicted": [_as_bytes(ids) for ids in each.predicted.values()],
        }
        for each in maps
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            table = pa.Table.from_pylist(rows, schema=_SCHEMA)
            pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    except OSError as error:
        raise StorageError(f"{path} can't be written ({first_line(error)}).") from error


def read_maps(path: Path) -> tuple[PairMaps, ...]:
    """Read what :func:`write_maps` wrote.

    Raises:
        StudyError: It is missing, damaged, or of another version.
    """
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        version = json.loads((table.schema.metadata or {})[_FORMAT_KEY])
        if version != _FORMAT:
            raise ValueError(f"format {version}, expected {_FORMAT}")
        return tuple(_maps_of(row) for row in table.to_pylist())
    except (OSError, ValueError, KeyError, InvalidInputError) as error:
        raise StudyError(f"{path} can't be read ({first_line(error)}); put a copy back.") from error


def _maps_of(row: Mapping[str, Any]) -> PairMaps:
    return PairMaps(
        pair=row["pair"],
        note=row["note"],
        truth=_as_ids(row["truth"], row["rows"]),
        predicted={
            label: _as_ids(ids, row["rows"]) for label, ids in zip(row["labels"], row["predicted"], strict=True)
        },
        class_names=tuple(row["class_names"]),
    )


def _as_bytes(ids: NDArray[np.integer]) -> bytes:
    return ids.astype(np.uint8).tobytes()


def _as_ids(content: bytes, rows: int) -> NDArray[np.uint8]:
    return np.frombuffer(content, dtype=np.uint8).reshape(rows, -1)
