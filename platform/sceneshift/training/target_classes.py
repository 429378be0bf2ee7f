"""The class predicted for every pixel of a target after every evaluated epoch, so that it can be scored later.

The target comes without labels, nothing trains on it, and strategies for model selection are not handed these
predictions. They are kept beside the checkpoints, in ``target_classes/``.

Shape letters: H rows, W columns, C bands, K classes.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pyarrow import parquet as pq
from torch import nn

from sceneshift.errors import InvalidInputError, StudyError, first_line
from sceneshift.scenes.normalization import Normalization
from sceneshift.training.epoch_tables import EpochTables
from sceneshift.training.evaluation import map_scene
from sceneshift.training.target_pixels import TargetPixels

#: The version of the files; another one is rejected.
FORMAT = 1

_FORMAT_KEY = b"sceneshift.format"
_SCHEMA = pa.schema(
    [
        pa.field("pair", pa.string(), nullable=False),
        pa.field("epoch", pa.int32(), nullable=False),
        pa.field("is_average", pa.bool_(), nullable=False),
        pa.field("rows", pa.int32(), nullable=False),
        pa.field("classes", pa.binary(), nullable=False),
    ],
    metadata={_FORMAT_KEY: str(FORMAT).encode()},
)

#: Class ids are bytes.
_MOST_CLASSES = 255


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetClasses:
    """What one candidate predicts for a target.

    Args:
        pair: The pair's name.
        epoch: 1-based.
        is_average: Whether the weights are the running average (:mod:`sceneshift.training.flat_average`), not the
            epoch's.
        class_map: (H, W) uint8 class ids 1..K; 0 at unmeasured pixels.
    """

    pair: str
    epoch: int
    is_average: bool
    class_map: NDArray[np.uint8]

    @property
    def key(self) -> tuple[str, int, bool]:
        """The candidate: pair, epoch, and whether it is the running average."""
        return self.pair, self.epoch, self.is_average


class TargetMapper:
    """Maps one pair's target.

    Args:
        target: The target; all its measured pixels are mapped, not only those that are recorded.
        normalization: The one fitted on the sources.
        patch_size: P.
        device: Where classifiers are.
    """

    def __init__(
        self, target: TargetPixels, normalization: Normalization, *, patch_size: int, device: torch.device
    ) -> None:
        self._target, self._normalization = target, normalization
        self._patch_size, self._device = patch_size, device
        #: What was mapped and not yet written.
        self.pending: list[TargetClasses] = []

    def record(self, classifier: nn.Module, epoch: int, *, is_average: bool = False) -> None:
        """Map the target with a candidate.

        Args:
            classifier: The candidate, ready for evaluation.
            epoch: 1-based.
            is_average: Whether it is the running average.

        Raises:
            InvalidInputError: It has more classes than a byte has numbers.
        """
        scene = self._target.scene
        class_map = map_scene(
            classifier,
            scene.cube,
            patch_size=self._patch_size,
            device=self._device,
            measured=scene.measured,
            prepare=self._normalization.apply,
        )
        if class_map.max() > _MOST_CLASSES:
            raise InvalidInputError(
                f"pair {self._target.pair_name!r}: class id {class_map.max()}; target classes are recorded as bytes, "
                f"of at most {_MOST_CLASSES} classes."
            )
        self.pending.append(
            TargetClasses(
                pair=self._target.pair_name,
                epoch=epoch,
                is_average=is_average,
                class_map=class_map.astype(np.uint8),
            )
        )


class TargetClassesFolder:
    """The mapped targets of one training, beside its checkpoints.

    Args:
        location: The location of the checkpoints: a directory, or a URI pyarrow understands (``s3://bucket/path``).

    Raises:
        InvalidInputError: pyarrow does not understand the URI.
    """

    def __init__(self, location: str) -> None:
        self._tables = EpochTables(location, "target_classes")
        self.location = self._tables.location

    def write(self, maps: Sequence[TargetClasses]) -> None:
        """Write the maps of one epoch; an epoch that was written before is replaced.

        Args:
            maps: All of the epoch.

        Raises:
            StorageError: The location can't be written.
        """
        (epoch,) = {each.epoch for each in maps}
        self._tables.put(_table(maps), epoch=epoch)

    def compact(self) -> None:
        """Make one file of all parts; done already, nothing happens.

        Raises:
            StorageError: The location can't be read or written.
            StudyError: A part is damaged.
        """
        if self._tables.parts():
            self._tables.put(_table(list(self.read().values())), epoch=None)

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
            maps = list(self.read().values())
            kept = [each for each in maps if each.epoch <= epoch]
            if not kept:
                self._tables.delete(None)
            elif len(kept) < len(maps):
                self._tables.put(_table(kept), epoch=None)

    def read(self) -> Mapping[tuple[str, int, bool], TargetClasses]:
        """Read all maps, by pair, epoch, and whether they are the running average's; empty if nothing was mapped.

        Raises:
            StudyError: A file is damaged or of another version.
            StorageError: The location can't be read.
        """
        found: dict[tuple[str, int, bool], TargetClasses] = {}
        for name in self._tables.names():
            found |= {each.key: each for each in self._read(name)}
        return {key: found[key] for key in sorted(found)}

    def _read(self, name: str) -> list[TargetClasses]:
        try:
            file = pq.ParquetFile(io.BytesIO(self._tables.content(name)), page_checksum_verification=True)
            version = (file.schema_arrow.metadata or {}).get(_FORMAT_KEY, b"none").decode()
            if version != str(FORMAT):
                raise ValueError(f"it is of format {version}, and this version of sceneshift reads format {FORMAT}")
            return [
                TargetClasses(
                    pair=row["pair"],
                    epoch=row["epoch"],
                    is_average=row["is_average"],
                    class_map=np.frombuffer(row["classes"], dtype=np.uint8).reshape(row["rows"], -1),
                )
                for row in file.read().to_pylist()
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's ArrowInvalid is a ValueError
            raise StudyError(
                f"{self._tables.path_of(name)} is damaged ({first_line(error)}). Put a copy back, or delete the "
                "training's folder to train it again."
            ) from error


def _table(maps: Sequence[TargetClasses]) -> pa.Table:
    columns = [
        pa.array([each.pair for each in maps], pa.string()),
        pa.array([each.epoch for each in maps], pa.int32()),
        pa.array([each.is_average for each in maps], pa.bool_()),
        pa.array([each.class_map.shape[0] for each in maps], pa.int32()),
        pa.array([each.class_map.tobytes() for each in maps], pa.binary()),
    ]
    return pa.table(columns, schema=_SCHEMA)
