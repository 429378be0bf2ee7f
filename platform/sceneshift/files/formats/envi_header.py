"""Headers of ENVI images, as their many writers make them.

Keys that decide how the numbers are stored are checked, and rejected if they are missing or contradict each other;
optional keys that are not understood are reported by their readers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sceneshift.errors import InvalidInputError

#: ``key = value`` or ``key = { value, … }`` in a header, over as many lines as it takes; ``;`` begins a comment.
_ENTRY = re.compile(r"^[ \t]*([^;={}\s][^={}\n]*)=(?:\s*(\{[^}]*\})|[ \t]*([^\n]*))", re.MULTILINE)

#: A whole number, in braces or before a comment as well.
_WHOLE = re.compile(r"\{?\s*([+-]?\d{1,18})(?:\.0*)?\s*\}?\s*(?:;.*)?")

INTERLEAVES = ("bsq", "bil", "bip")

#: NumPy's types by ENVI's numbers.
TYPES = {
    1: "uint8", 2: "int16", 3: "int32", 4: "float32", 5: "float64", 6: "complex64", 9: "complex128", 12: "uint16",
    13: "uint32", 14: "int64", 15: "uint64",
}  # fmt: skip

#: Keys that decide how the numbers are stored.
_SHAPING = ("samples", "lines", "bands", "header offset", "data type", "interleave", "byte order")

#: Texts that GDAL turns into a place on the ground and into gains, which are passed on unchanged.
_FOR_GDAL = ("map info", "projection info", "coordinate system string", "data gain values", "data offset values")

#: No header is longer; what is, is the image.
_MOST_BYTES = 2**24

_LIBRARY = "envi spectral library"

#: Files that only name others.
_NAMES_OTHERS = ("envi meta file", "envi virtual mosaic", "envi series", "envi layer stack")


@dataclass(frozen=True, kw_only=True)
class EnviHeader:
    """A header whose image can be read.

    Args:
        path: The header.
        texts: All its texts, by keys in lower case.
        samples: Columns.
        lines: Rows.
        bands: Bands.
        offset: Bytes before the numbers.
        data_type: ENVI's number of their type.
        interleave: One of :data:`INTERLEAVES`.
        byte_order: 0 for little endian, 1 for big endian.
        is_compressed: Whether the file of numbers is compressed by gzip.
        notes: What was assumed or isn't sure, for the user.
    """

    path: Path
    texts: Mapping[str, str]
    samples: int
    lines: int
    bands: int
    offset: int
    data_type: int
    interleave: str
    byte_order: int
    is_compressed: bool
    notes: tuple[str, ...]

    @property
    def is_library(self) -> bool:
        """Whether it is of spectra, not of an image: a line per spectrum, a sample per channel."""
        return self.texts.get("file type", "").lower() == _LIBRARY

    @property
    def num_bytes(self) -> int:
        """Bytes of the file of numbers, of a compressed one when it is unpacked."""
        return self.offset + self.samples * self.lines * self.bands * np.dtype(TYPES[self.data_type]).itemsize

    def for_gdal(self) -> str:
        """A header that GDAL reads as this one was read, and that has nothing else in it."""
        layout = {
            "samples": self.samples,
            "lines": self.lines,
            "bands": self.bands,
            "header offset": self.offset,
            "file type": "ENVI Standard",
            "data type": self.data_type,
            "interleave": self.interleave,
            "byte order": self.byte_order,
        }
        texts = {key: self.texts[key] for key in _FOR_GDAL if key in self.texts}
        for key in ("data gain values", "data offset values"):
            if key in texts:  # one item per line: GDAL reads no line of more than 10000 characters
                texts[key] = "{" + ",\n".join(listed(texts[key])) + "}"
        return "ENVI\n" + "".join(f"{key} = {value}\n" for key, value in (layout | texts).items())


def read_header(path: Path) -> EnviHeader:
    """Read and check a header.

    Raises:
        InvalidInputError: It is not a header, or doesn't say how the numbers are stored; the message names the key.
    """
    notes: list[str] = []
    texts = _texts(path, notes)

    def wrong(key: str, expected: str, advice: str) -> InvalidInputError:
        return InvalidInputError(f"{path}, {key}: got {texts.get(key) or 'nothing'}; expected {expected}. {advice}")

    def whole(key: str, least: int) -> int:
        found = _WHOLE.fullmatch(texts.get(key, ""))
        if found is None or int(found[1]) < least:
            raise wrong(key, f"a whole number from {least} on", "Write what the image has.")
        return int(found[1])

    if (kind := texts.get("file type", "").lower()) in _NAMES_OTHERS:
        raise wrong("file type", "an image", f"A header of this type ({kind}) names other files; name one of them.")
    for key in ("major frame offsets", "minor frame offsets"):
        if any(text not in ("", "0") for text in listed(texts.get(key))):
            raise wrong(key, "none", "Have ENVI write the file again.")
    compression = texts.get("file compression", "0").strip("{} ") or "0"
    if compression not in ("0", "1"):
        raise wrong("file compression", "0 (none) or 1 (gzip)", "Have ENVI write the file again, not compressed.")
    bands = whole("bands", 1)
    interleave = texts.get("interleave", "").strip("{}\"' ").lower()
    if not interleave and bands == 1:
        interleave = INTERLEAVES[0]  # the same in every order
    if interleave not in INTERLEAVES:
        raise wrong("interleave", f"one of {', '.join(INTERLEAVES)}", "Write the order that the numbers have.")
    data_type = whole("data type", 1)
    if data_type not in TYPES:
        raise wrong("data type", f"one of {', '.join(map(str, TYPES))}", "Write ENVI's number of the numbers' type.")
    byte_order = 0
    if texts.get("byte order", "") != "":
        byte_order = whole("byte order", 0)
        if byte_order > 1:
            raise wrong("byte order", "0 (little endian) or 1 (big endian)", "Write the order that the bytes have.")
    elif np.dtype(TYPES[data_type]).itemsize > 1:
        notes.append(f"{path}, byte order: got nothing; expected 0 or 1. It is taken as 0 (little endian).")
    return EnviHeader(
        path=path,
        texts=texts,
        samples=whole("samples", 1),
        lines=whole("lines", 1),
        bands=bands,
        offset=whole("header offset", 0) if texts.get("header offset") else 0,
        data_type=data_type,
        interleave=interleave,
        byte_order=byte_order,
        is_compressed=compression == "1",
        notes=tuple(notes),
    )


def listed(value: str | None) -> tuple[str, ...]:
    """The texts of a header's list; a comma behind the last is no other."""
    if value is None:
        return ()
    return tuple(text.strip() for text in value.strip("{}").strip().rstrip(",").split(","))


def _texts(path: Path, notes: list[str]) -> dict[str, str]:
    """The header's texts, by keys in lower case, each with its braces."""
    with path.open("rb") as file:
        content = file.read(min(path.stat().st_size, _MOST_BYTES + 1))
    text = _decoded(path, content[:_MOST_BYTES], notes).lstrip("\ufeff \t\r\n")
    if text[:4].upper() != "ENVI" or text[4:5].isalnum() or len(content) > _MOST_BYTES:
        raise InvalidInputError(
            f"{path} could not be read (it begins with {text[:16]!r}); expected an ENVI header, a text whose first "
            "line is ENVI. Copy or download it again; if it is a header of another program, have that write ENVI "
            "(`gdal_translate -of ENVI`)."
        )
    texts: dict[str, str] = {}
    for written, braced, plain in _ENTRY.findall(text):
        key, value = " ".join(written.lower().replace("_", " ").split()), (braced or plain).strip()
        if value.startswith("{") and not value.endswith("}"):
            raise InvalidInputError(
                f"{path}, {key}: got a list without its end; expected a brace. Copy the file again."
            )
        if key in _SHAPING and texts.get(key, value).lower() != value.lower():
            raise InvalidInputError(
                f"{path}, {key}: got {texts[key]} and {value}; expected it once. Remove the line that is wrong."
            )
        texts[key] = value
    return texts


def _decoded(path: Path, content: bytes, notes: list[str]) -> str:
    for mark, encoding in (
        (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
    ):  # fmt: skip
        if content.startswith(mark):
            text = content.decode(encoding, errors="replace")
            break
    else:
        try:
            text = content.decode()
        except UnicodeDecodeError:
            text = content.decode("cp1252", errors="replace")  # what ENVI writes on Windows
            notes.append(f"{path} is not UTF-8: its texts are taken as cp1252, which may be wrong for names in it")
    return text.replace("\r\n", "\n").replace("\r", "\n")
