"""Blocks of HDF5 files that are larger than the file are noticed before HDF5 allocates them; sound files pass."""

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.files.formats.hdf5_blocks import refuse_large_blocks

NUM_GROUPS = 12


def write(path: Path, **options: object) -> None:
    """Groups with many attributes, whose headers have several blocks, and a tree of several nodes."""
    with h5py.File(path, "w", **options) as file:
        for k in range(NUM_GROUPS):
            data = file.create_dataset(f"groups/{k}/data", data=np.full((3, 3), k))
            for j in range(8):
                data.attrs[f"attribute {j}"] = "a text" * j


@pytest.mark.parametrize("userblock_size", [0, 512, 2048])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_sound_files_pass(tmp_path: Path, libver: str, userblock_size: int) -> None:
    write(tmp_path / "a.mat", libver=libver, userblock_size=userblock_size)
    refuse_large_blocks(tmp_path / "a.mat")


def test_damage_of_any_block_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    write(path)
    whole = path.read_bytes()
    # Continuations: type 0x10, 16 bytes, then address and size; heaps: signature and size.
    sizes = [at + 16 for at in places(whole, struct.pack("<HHI", 0x10, 16, 0))]
    heaps = [at + 8 for at in places(whole, b"HEAP\0\0\0\0")]
    assert len(sizes) >= NUM_GROUPS
    assert len(heaps) == NUM_GROUPS + 2
    for at in (*sizes, *heaps):
        for value in (len(whole) + 1, 2**33, 2**63):
            damaged = bytearray(whole)
            struct.pack_into("<Q", damaged, at, value)
            path.write_bytes(damaged)
            with pytest.raises(InvalidInputError):
                refuse_large_blocks(path)


def places(content: bytes, part: bytes) -> list[int]:
    found, at = [], content.find(part)
    while at >= 0:
        found.append(at)
        at = content.find(part, at + 1)
    return found


@pytest.mark.parametrize("left", [0, 7, 20, 60, 200, 900])
def test_beginnings_of_files_are_left_to_hdf5(tmp_path: Path, left: int) -> None:
    path = tmp_path / "a.mat"
    write(path)
    path.write_bytes(path.read_bytes()[:left])
    refuse_large_blocks(path)
