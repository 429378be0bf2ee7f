"""Numbers of ENVI images that gzip compressed (``file compression = 1``)."""

import gzip
import os
import zlib
from pathlib import Path

from sceneshift.errors import InvalidInputError, first_line
from sceneshift.files.formats.envi_header import EnviHeader
from sceneshift.safe_files import refuse_oversized

#: How a gzip file begins, and the bytes that are unpacked at once.
_GZIP, _BLOCK = b"\x1f\x8b", 2**20


def check_compressed(header: EnviHeader, data: Path) -> None:
    """Reject numbers that gzip did not compress, or that are too few for the image.

    Raises:
        InvalidInputError: With what to do.
    """
    with data.open("rb") as file:
        begins = file.read(len(_GZIP))
    if begins != _GZIP:
        raise InvalidInputError(
            f"{header.path}, file compression: got 1 (gzip), and {data} is no gzip file; expected one. If its numbers "
            "are not compressed, remove this line of the header; else have ENVI write them not compressed."
        )
    refuse_oversized(data, "the image", needed=header.num_bytes, held=os.stat(data).st_size)


def unpack(header: EnviHeader, data: Path, image: Path, *, reads_numbers: bool) -> None:
    """Unpack compressed numbers to a file, or make one of their size that takes no room.

    Args:
        header: The header.
        data: The compressed numbers.
        image: The file to write.
        reads_numbers: Whether the numbers will be read.

    Raises:
        InvalidInputError: They are damaged, of another size than the header states, or there is no room.
    """
    unpacked = header.num_bytes
    try:
        with image.open("wb") as file:
            if reads_numbers:
                with gzip.open(data) as packed:
                    while (block := packed.read(_BLOCK)) and file.tell() <= header.num_bytes:
                        file.write(block)
                unpacked = file.tell()
            else:
                file.truncate(unpacked)
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:  # not gzip's own
            raise InvalidInputError(
                f"{data} could not be unpacked to a temporary file ({first_line(error)}), which takes {unpacked} "
                "bytes; set TMPDIR to a folder with that room."
            ) from error
        raise InvalidInputError(
            f"{data} could not be unpacked ({first_line(error)}); is it complete? Copy or download it again."
        ) from error
    if unpacked != header.num_bytes:
        raise InvalidInputError(
            f"{data} has {'more' if unpacked > header.num_bytes else unpacked} bytes when unpacked, its header "
            f"{header.path} states {header.num_bytes}; expected them to fit. Copy both again, or correct the header."
        )
