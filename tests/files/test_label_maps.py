"""Label maps: what a file calls missing is unlabelled, numbers may begin at 0, and the numbers are the file's own."""

import logging
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from sceneshift.commands.scene_checks import check_file
from sceneshift.errors import InvalidInputError
from sceneshift.files.arrays import read_array, read_label_map
from sceneshift.files.scenes import read_scene

rasterio = pytest.importorskip("rasterio", reason="not installed: pip install -e '.[geo]'")

H, W = 8, 6
CLASSES = ("soil", "grass", "roof")
LABELS = (np.arange(H * W).reshape(H, W) % 3 + 1).astype(np.uint8)
HOLE = LABELS.copy()
HOLE[:2] = 0


def write_tif(path: Path, values: np.ndarray, **profile: object) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", width=W, height=H, count=1, dtype=values.dtype, crs="EPSG:32633",
        transform=rasterio.Affine(30, 0, 380952, 0, -30, 5820372), **profile,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


def with_hole(value: float, dtype: str) -> np.ndarray:
    return np.where(HOLE == 0, value, HOLE.astype(np.float64)).astype(dtype)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (255, "uint8"),
        (0, "uint8"),
        (-1, "int16"),
        (-9999, "int16"),
        (-9999, "float32"),
        (np.nan, "float32"),
        (np.nan, "float64"),
        (-3.4028234663852886e38, "float32"),
        (65535, "uint16"),
    ],
)
def test_the_missing_data_of_a_map_is_unlabelled(
    tmp_path: Path, value: float, dtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_tif(tmp_path / "labels.tif", with_hole(value, dtype), nodata=value)
    np.testing.assert_array_equal(read_label_map(path), HOLE)
    assert len(caplog.records) == (value != 0)  # 0 is unlabelled in any map
    np.save(tmp_path / "cube.npy", np.random.default_rng(0).random((H, W, 5)))
    scene = read_scene(tmp_path / "cube.npy", labels=path, class_names=CLASSES)
    np.testing.assert_array_equal(scene.labels, HOLE)
    text = "\n".join(check_file(path))
    assert re.search(r"8 x 6, 36 labelled, 12 ", text)
    assert "12 pixels" in text


def test_nan_is_unlabelled_in_files_that_declare_nothing(tmp_path: Path) -> None:
    values = with_hole(np.nan, "float64")
    np.save(tmp_path / "a.npy", values)
    scipy.io.savemat(tmp_path / "a.mat", {"gt": values})
    for name in ("a.npy", "a.mat"):
        np.testing.assert_array_equal(read_label_map(tmp_path / name), HOLE)


def test_a_mask_within_makes_pixels_unlabelled(tmp_path: Path) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write_tif(tmp_path / "labels.tif", LABELS)
        with rasterio.open(path, "r+") as file:
            file.write_mask(HOLE > 0)
    np.testing.assert_array_equal(read_label_map(path), HOLE)


def test_a_header_s_value_is_unlabelled(tmp_path: Path) -> None:
    (tmp_path / "gt.img").write_bytes(with_hole(255, "uint8").tobytes())
    (tmp_path / "gt.hdr").write_text(
        f"ENVI\nsamples = {W}\nlines = {H}\nbands = 1\nfile type = ENVI Classification\ndata type = 1\n"
        "interleave = bsq\nclass names = {Unclassified, soil, grass, roof}\ndata ignore value = 255\n"
    )
    np.testing.assert_array_equal(read_label_map(tmp_path / "gt.hdr"), HOLE)


def test_numbers_below_0_that_no_file_declares_are_refused_and_can_be_declared(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", with_hole(-1, "int16"))
    with pytest.raises(InvalidInputError, match="unlabelled_values"):
        read_label_map(tmp_path / "a.npy")
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.npy", unlabelled_values=(-1,)), HOLE)


@pytest.mark.parametrize("nodata", [255, None])
def test_numbers_from_0_can_be_declared(tmp_path: Path, nodata: int | None) -> None:
    values = np.where(HOLE == 0, 255, HOLE - 1).astype(np.uint8)
    path = write_tif(tmp_path / "labels.tif", values, nodata=nodata)
    unlabelled = () if nodata is not None else (255,)
    np.testing.assert_array_equal(read_label_map(path, label_values=(0, 1, 2), unlabelled_values=unlabelled), HOLE)
    np.save(tmp_path / "cube.npy", np.random.default_rng(0).random((H, W, 5)))
    given = {"labels": path, "class_names": CLASSES, "unlabelled_values": unlabelled}
    scene = read_scene(tmp_path / "cube.npy", label_values=(0, 1, 2), **given)
    np.testing.assert_array_equal(scene.labels, HOLE)
    assert scene.class_counts.tolist() == [12, 12, 12]
    reordered = read_scene(tmp_path / "cube.npy", label_values=(2, 0, 1), **given)
    np.testing.assert_array_equal(reordered.labels, np.array([0, 2, 3, 1])[HOLE])


def test_numbers_from_0_that_are_not_declared_are_no_other_classes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    np.save(tmp_path / "cube.npy", np.random.default_rng(0).random((H, W, 5)))
    path = write_tif(tmp_path / "a.tif", np.where(HOLE == 0, 255, HOLE - 1).astype(np.uint8), nodata=255)
    with pytest.raises(InvalidInputError, match=r"0.*2.*3 classes"):
        read_scene(tmp_path / "cube.npy", labels=path, class_names=CLASSES)
    np.save(tmp_path / "a.npy", LABELS - 1)
    with caplog.at_level(logging.WARNING):
        read_scene(tmp_path / "cube.npy", labels=tmp_path / "a.npy", class_names=CLASSES)
    assert "0 to 2 for 3 classes" in caplog.text


def test_a_declared_class_is_one_even_where_the_file_calls_it_missing(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "labels.tif", LABELS - 1, nodata=0)
    np.testing.assert_array_equal(read_label_map(path, label_values=(0, 1, 2)), LABELS)


@pytest.mark.parametrize(
    "given",
    [
        {"label_values": (-1, 1, 2)},
        {"label_values": (1, 1, 2)},
        {"label_values": (0, 1), "unlabelled_values": (0,)},
    ],
)
def test_lists_that_contradict_each_other_are_refused(tmp_path: Path, given: dict[str, tuple[int, ...]]) -> None:
    np.save(tmp_path / "a.npy", LABELS)
    with pytest.raises(InvalidInputError, match="label_values"):
        read_label_map(tmp_path / "a.npy", **given)


def test_a_number_that_is_no_class_s_is_refused_however_large(tmp_path: Path) -> None:
    values = LABELS.astype(np.int64)
    values[0, 0] = 10**15
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(InvalidInputError, match="1000000000000000"):
        read_label_map(tmp_path / "a.npy", label_values=(1, 2, 3))
    read = read_label_map(tmp_path / "a.npy", label_values=(1, 2, 3, 10**15))
    assert read[0, 0] == 4


@pytest.mark.parametrize(
    "profile",
    [
        {"NBITS": 2},
        {"NBITS": 4},
        {"NBITS": 7},
        {"photometric": "MINISWHITE"},
        {"NBITS": 4, "photometric": "MINISWHITE"},
        {"compress": "lzw", "tiled": True, "blockxsize": 16, "blockysize": 16},
        {"compress": "deflate", "predictor": 2},
    ],
    ids=str,
)
def test_a_tiff_s_numbers_are_those_in_the_file(tmp_path: Path, profile: dict[str, object]) -> None:
    path = write_tif(tmp_path / "labels.tif", LABELS, **profile)
    np.testing.assert_array_equal(read_label_map(path), LABELS)
    np.testing.assert_array_equal(read_array(path), LABELS)  # the reader of `check`
    assert any("1: 16, 2: 16, 3: 16" in line for line in check_file(path))


def test_a_tiff_of_one_bit_is_a_mask(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "mask.tif", (LABELS == 1).astype(np.uint8), NBITS=1)
    np.testing.assert_array_equal(read_label_map(path), LABELS == 1)


def write_png(path: Path, values: np.ndarray, bits: int) -> Path:
    """A grey PNG of few bits, by the specification (W3C, 11.2.2 and 7.2): Pillow writes none."""
    packed = b""
    for row in values:
        text = "".join(f"{value:0{bits}b}" for value in row)
        packed += b"\0" + int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_grey_png_of_few_bits_keeps_its_numbers(tmp_path: Path, bits: int) -> None:
    values = LABELS % 2 ** min(bits, 4)
    path = write_png(tmp_path / "labels.png", values, bits)
    np.testing.assert_array_equal(read_label_map(path), values)
    assert "label map 8 x 6" in check_file(path)[1]


def test_what_a_label_file_s_header_says_is_reported_once(
    tmp_path: Path, package_log: pytest.LogCaptureFixture
) -> None:
    """Its place and its numbers come from one reading."""
    np.save(tmp_path / "cube.npy", np.random.default_rng(0).random((H, W, 5)))
    (tmp_path / "gt.hdr").write_bytes(
        f"ENVI\ndescription = {{März}}\nsamples = {W}\nlines = {H}\nbands = 1\ndata type = 1\n".encode("cp1252")
    )
    (tmp_path / "gt.img").write_bytes(HOLE.tobytes() + b"more")
    scene = read_scene(tmp_path / "cube.npy", labels=tmp_path / "gt.hdr", class_names=CLASSES)
    np.testing.assert_array_equal(scene.labels, HOLE)
    messages = [record.getMessage() for record in package_log.records]
    assert len(messages) == 2  # cp1252, surplus bytes; a map of bytes needs no byte order
    assert len(set(messages)) == 2
