"""Parquet tables beside the checkpoints of a training: one file per epoch while it trains, one file for all afterwards.

What a table holds is its owner's: :mod:`sceneshift.training.epoch_record`, :mod:`sceneshift.training.target_classes`.
"""

import io
import re

import pyarrow as pa
from pyarrow import fs
from pyarrow import parquet as pq

from sceneshift.errors import StorageError, first_line
from sceneshift.training.checkpoint import storage_at

#: The file of all epochs.
WHOLE = "epochs.parquet"

_PART = re.compile(r"(?:^|/)epoch_(\d{5})\.parquet$")


class EpochTables:
    """The tables of one training.

    Args:
        location: The location of the checkpoints: a directory, or a URI pyarrow understands (``s3://bucket/path``).
        folder: Name of the tables' folder there.

    Raises:
        InvalidInputError: pyarrow does not understand the URI.
    """

    def __init__(self, location: str, folder: str) -> None:
        self._fs, root = storage_at(location)
        self._path = f"{root}/{folder}"
        self.location = f"{location}/{folder}"

    def put(self, table: pa.Table, *, epoch: int | None) -> None:
        """Write the table of an epoch, or of all epochs, in place of one that is there.

        Args:
            table: The table.
            epoch: 1-based; None for the table of all epochs, after which the others are deleted.

        Raises:
            StorageError: The location can't be written.
        """
        name = WHOLE if epoch is None else f"epoch_{epoch:05d}.parquet"
        buffer = io.BytesIO()
        # What networks answer hardly repeats: dictionaries and statistics would only cost.
        pq.write_table(
            table, buffer, compression="zstd", use_dictionary=False, write_statistics=False, write_page_checksum=True
        )
        try:
            self._fs.create_dir(self._path, recursive=True)
            with self._fs.open_output_stream(f"{self._path}/{name}.writing") as stream:
                stream.write(buffer.getvalue())
            self._fs.move(f"{self._path}/{name}.writing", f"{self._path}/{name}")
        except OSError as error:
            raise StorageError(
                f"the record {self._path}/{name} can't be written ({first_line(error)}). Make room or give another "
                "--storage-path, then continue with --resume."
            ) from error
        if epoch is None:
            for part in self.parts():
                self.delete(part)

    def content(self, name: str) -> bytes:
        """The bytes of one file.

        Raises:
            StorageError: It can't be read.
        """
        try:
            with self._fs.open_input_stream(f"{self._path}/{name}") as stream:
                content: bytes = stream.read()
        except OSError as error:
            raise StorageError(f"the record {self._path}/{name} can't be read ({first_line(error)}).") from error
        return content

    def names(self) -> list[str]:
        """The files that exist: of single epochs, then of all."""
        return [
            *(f"epoch_{part:05d}.parquet" for part in self.parts()),
            *([WHOLE] if self.has_whole() else []),
        ]

    def parts(self) -> list[int]:
        """The epochs that have files of their own."""
        listing = self._fs.get_file_info(fs.FileSelector(self._path, allow_not_found=True))
        return sorted(int(match.group(1)) for info in listing if (match := _PART.search(info.path)))

    def has_whole(self) -> bool:
        """Whether there is a file of all epochs."""
        return bool(self._fs.get_file_info(f"{self._path}/{WHOLE}").type == fs.FileType.File)

    def delete(self, epoch: int | None) -> None:
        """Delete the file of an epoch, or with None that of all epochs.

        Raises:
            StorageError: It can't be deleted.
        """
        name = WHOLE if epoch is None else f"epoch_{epoch:05d}.parquet"
        try:
            self._fs.delete_file(f"{self._path}/{name}")
        except OSError as error:
            raise StorageError(f"the record {self._path}/{name} can't be deleted ({first_line(error)}).") from error

    def path_of(self, name: str) -> str:
        """A file's path, for messages."""
        return f"{self._path}/{name}"
