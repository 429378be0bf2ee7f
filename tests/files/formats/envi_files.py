"""ENVI images as many programs write them, for tests."""

from pathlib import Path

import numpy as np

H, W, C = 6, 5, 4
CUBE = np.random.default_rng(0).integers(100, 3000, size=(H, W, C)).astype(np.int16)
LABELS = (np.arange(H * W).reshape(H, W) % 3 + 1).astype(np.uint8)
TYPES = {"uint8": 1, "int16": 2, "int32": 3, "float32": 4, "float64": 5, "uint16": 12}
AXES = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}


def header_of(values: np.ndarray, **changes: str | None) -> str:
    """A whole header; a change to None leaves a key out."""
    shape = np.atleast_3d(values).shape
    keys: dict[str, object] = {
        "samples": shape[1],
        "lines": shape[0],
        "bands": shape[2],
        "header_offset": 0,
        "file_type": "ENVI Standard",
        "data_type": TYPES[values.dtype.newbyteorder("=").name],
        "interleave": "bsq",
        "byte_order": 0,
    }
    told = {key: value for key, value in (keys | changes).items() if value is not None}
    return "ENVI\n" + "".join(f"{key.replace('_', ' ')} = {value}\n" for key, value in told.items())


def write_envi(
    folder: Path,
    values: np.ndarray = CUBE,
    header: str | bytes | None = None,
    *,
    name: str = "scene",
    ending: str = ".img",
    **changes: str | None,
) -> Path:
    """Write an image in the interleave of its header; returns the header."""
    text = header_of(values, **changes) if header is None else header
    path = folder / f"{name}.hdr"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    axes = AXES.get(str(changes.get("interleave", "bsq")).lower(), AXES["bsq"])
    numbers = np.atleast_3d(values).transpose(axes)
    (folder / f"{name}{ending}").write_bytes(np.ascontiguousarray(numbers).tobytes())
    return path
