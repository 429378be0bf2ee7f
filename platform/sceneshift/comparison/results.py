"""The results of a comparison: one row per final network, from which all its tables are made.

Shape letters: K classes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet as pq

from sceneshift.errors import MissingDataError, StorageError, StudyError, first_line
from sceneshift.safe_files import replacing

#: The file of results in a comparison's folder.
RESULTS = "results.parquet"

#: The version of this format.
FORMAT = 1

_METADATA = b"sceneshift.comparison"

_KINDS: dict[Any, Any] = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}

#: What a network was trained on: every labelled field, after the choice; or the training blocks, as it was chosen.
TRAINED_ON = ("fields", "blocks")


@dataclass(frozen=True, kw_only=True, eq=False)
class CellResult:
    """One final network of one method on one pair with one seed, chosen by one strategy.

    Args:
        pair: Name of the pair.
        group: The independent group of scenes that it belongs to (:mod:`sceneshift.catalogue.groups`).
        method: Name of the method.
        label: The method's name in tables; a method may be listed twice, with other settings.
        is_floor: Whether it is a spectral floor.
        protocol: "tune-once" or "tune-anew".
        budget: Budget of every training, such as "40 epochs" or "60 s".
        strategy: The strategy that chose configuration and epoch.
        seed: Seed of the final network; in "tune-anew", of the repeat.
        trained_on: "fields" for a network trained after the choice on all labelled fields of its sources, "blocks" for
            the chosen network itself.
        configuration: Number of the chosen configuration, 0-based; -1 where none was chosen.
        epoch: The epoch of the scored network; 0 where none was chosen.
        epochs: Epochs of its training, 1 for a floor; 0 where there is none.
        seconds: Seconds of its training steps, without evaluations; NaN where it did not end.
        oa: Overall accuracy on all labelled target pixels, 0..1; NaN where there is none.
        aa: Average accuracy, 0..1, likewise.
        kappa: Cohen's kappa, -1..1, likewise.
        confusion: (K, K) counts; rows are the truth. All zeros where there are no scores.
        class_names: The K classes.
        failed: Why there are no scores; empty if there are.
        settings: All settings of its training as JSON; empty where there is none, and in files of earlier versions.
    """

    pair: str
    group: str
    method: str
    label: str
    is_floor: bool
    protocol: str
    budget: str
    strategy: str
    seed: int
    trained_on: str
    configuration: int
    epoch: int
    epochs: int
    seconds: float
    oa: float
    aa: float
    kappa: float
    confusion: NDArray[np.int64]
    class_names: tuple[str, ...]
    failed: str = ""
    settings: str = ""

    def __post_init__(self) -> None:
        num_classes = len(self.class_names)
        if self.confusion.shape != (num_classes, num_classes):
            raise StudyError(
                f"{self.label} on {self.pair}: confusion matrix of shape {self.confusion.shape}; expected "
                f"{(num_classes, num_classes)} for {num_classes} classes."
            )
        if self.trained_on not in TRAINED_ON:
            raise StudyError(
                f"{self.label} on {self.pair}: trained_on = {self.trained_on!r}; expected one of "
                f"{', '.join(TRAINED_ON)}."
            )


#: Fields of a row that are plain values, in order.
_PLAIN = {f.name: f.type for f in fields(CellResult) if f.name not in ("confusion", "class_names")}


@dataclass(frozen=True, kw_only=True, eq=False)
class ComparisonResults:
    """The results of one comparison.

    Args:
        name: The comparison's name.
        cells: Its final networks.
        caption: What a table's caption says: pairs, split, strategies, seeds, budget, profile, commit, protocol.
        joins: By strategy, how often target labels were joined to what networks chosen by it predict.
    """

    name: str
    cells: tuple[CellResult, ...]
    caption: Mapping[str, str]
    joins: Mapping[str, int]

    def as_frame(self) -> pd.DataFrame:
        """One row per final network with the fields of :class:`CellResult`, without confusion and class names."""
        return pd.DataFrame(
            [{name: getattr(cell, name) for name in _PLAIN} for cell in self.cells], columns=list(_PLAIN)
        )

    def write(self, path: Path) -> None:
        """Write one Parquet file, confusion matrices included.

        Raises:
            StorageError: It can't be written.
        """
        columns: dict[str, Any] = {
            name: pa.array([getattr(cell, name) for cell in self.cells], _KINDS[kind]) for name, kind in _PLAIN.items()
        }
        columns["confusion"] = pa.array([cell.confusion.ravel().tolist() for cell in self.cells], pa.list_(pa.int64()))
        columns["class_names"] = pa.array([list(cell.class_names) for cell in self.cells], pa.list_(pa.string()))
        metadata = {"format": FORMAT, "name": self.name, "caption": dict(self.caption), "joins": dict(self.joins)}
        table = pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(metadata).encode()})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
        except OSError as error:
            raise StorageError(f"{path} can't be written ({first_line(error)}).") from error

    @classmethod
    def read(cls, path: Path) -> "ComparisonResults":
        """Read what :meth:`write` wrote.

        Raises:
            MissingDataError: There is no such file.
            StudyError: It is damaged, or of another version.
        """
        if not path.exists():
            raise MissingDataError(f"there is no file {path}; `compare.py` writes it once all networks are scored.")
        try:
            table = pq.read_table(path, page_checksum_verification=True)
            metadata = json.loads((table.schema.metadata or {})[_METADATA])
        except (OSError, ValueError, KeyError) as error:
            raise StudyError(f"{path} can't be read ({first_line(error)}); put a copy back.") from error
        if metadata["format"] != FORMAT:
            raise StudyError(
                f"{path} is of format {metadata['format']}; this version of sceneshift reads format {FORMAT}."
            )
        cells = []
        for row in table.to_pylist():
            names = tuple(row.pop("class_names"))
            counts = np.array(row.pop("confusion"), dtype=np.int64).reshape(len(names), len(names))
            cells.append(CellResult(**row, confusion=counts, class_names=names))
        return cls(name=metadata["name"], cells=tuple(cells), caption=metadata["caption"], joins=metadata["joins"])
