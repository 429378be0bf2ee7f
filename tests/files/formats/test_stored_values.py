"""Scales that files declare: read once, whatever else declares them, and reported where they can't be used."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.files.arrays import read_array, read_description
from sceneshift.files.formats.description import Description
from sceneshift.files.formats.stored_values import StoredValues, stored_in_envi
from sceneshift.files.opening import open_unlabelled
from sceneshift.files.scenes import read_scene, read_unlabelled_scene

rasterio = pytest.importorskip("rasterio")

H, W, C = 6, 5, 4
STORED = np.random.default_rng(0).integers(200, 6000, (H, W, C)).astype(np.int16)
CLASSES = ("soil", "tree")


def write_envi(folder: Path, more: str, array: np.ndarray = STORED) -> Path:
    kind = {"int16": 2, "float32": 4}[array.dtype.name]
    (folder / "scene.img").write_bytes(np.ascontiguousarray(array.transpose(2, 0, 1)).tobytes())
    (folder / "scene.hdr").write_text(
        f"ENVI\nsamples = {W}\nlines = {H}\nbands = {C}\nheader offset = 0\ndata type = {kind}\ninterleave = bsq\n"
        f"byte order = 0\n{more}"
    )
    return folder / "scene.hdr"


def write_tif(folder: Path, scales: list[float], offsets: list[float], **more: object) -> Path:
    with rasterio.open(
        folder / "scene.tif", "w", driver="GTiff", count=C, height=H, width=W, dtype="int16",
        transform=rasterio.Affine(30, 0, 10, 0, -30, 20), crs="EPSG:32633", **more,
    ) as file:  # fmt: skip
        file.write(STORED.transpose(2, 0, 1))
        file.scales, file.offsets = scales, offsets
    return folder / "scene.tif"


@pytest.mark.parametrize("key", ["reflectance scale factor", "Reflectance Scale Factor", "REFLECTANCE SCALE FACTOR"])
@pytest.mark.parametrize("text", ["10000", "1e4", "10000.000000", "{10000}"])
def test_a_reflectance_scale_factor_divides(tmp_path: Path, key: str, text: str) -> None:
    scene = read_unlabelled_scene(write_envi(tmp_path, f"{key} = {text}\n"))
    np.testing.assert_allclose(scene.cube, STORED / 10000, rtol=1e-6)
    assert (scene.cube.dtype, scene.unit) == (np.float32, "reflectance")
    np.testing.assert_array_equal(read_array(tmp_path / "scene.hdr"), STORED)  # an array is what is stored


@pytest.mark.parametrize("text", ["", "None", "0", "-1", "nan", "inf", "{10000, 10000}"])
def test_a_factor_that_is_none_is_reported_and_passed_over(
    tmp_path: Path, text: str, package_log: pytest.LogCaptureFixture
) -> None:
    scene = read_unlabelled_scene(write_envi(tmp_path, f"reflectance scale factor = {text}\n"))
    np.testing.assert_array_equal(scene.cube, STORED)
    assert scene.unit is None
    (message,) = package_log.messages
    assert "scene.hdr" in message
    assert "reflectance scale factor" in message


def test_a_factor_of_one_states_the_unit(tmp_path: Path) -> None:
    path = write_envi(tmp_path, "reflectance scale factor = 1\n")
    scene = read_unlabelled_scene(path)
    np.testing.assert_array_equal(scene.cube, STORED)
    assert scene.unit == "reflectance"


def test_what_was_divided_before_is_not_divided_again(tmp_path: Path, package_log: pytest.LogCaptureFixture) -> None:
    reflectance = (STORED / 10000).astype(np.float32)
    path = write_envi(tmp_path, "reflectance scale factor = 10000\ndata ignore value = -9999\n", reflectance)
    scene = read_unlabelled_scene(path)
    np.testing.assert_array_equal(scene.cube, reflectance)
    assert scene.unit == "reflectance"
    (message,) = package_log.messages
    assert str(path) in message
    assert str(StoredValues.by_factor(10000, 4)) in message
    counts = write_envi(tmp_path, "reflectance scale factor = 10000\n", STORED.astype(np.float32))
    np.testing.assert_allclose(read_unlabelled_scene(counts).cube, STORED / 10000, rtol=1e-6)


def test_scale_and_offset_of_each_band_are_applied(tmp_path: Path) -> None:
    scales, offsets = [1e-4, 2e-4, 5e-4, 1.0], [0.0, -0.1, 0.25, -1000.0]
    expected = STORED * np.array(scales) + np.array(offsets)
    scene = read_unlabelled_scene(write_tif(tmp_path, scales, offsets))
    np.testing.assert_allclose(scene.cube, expected, rtol=1e-5, atol=1e-6)
    assert (scene.unit, scene.georeference is None) == (None, False)
    np.testing.assert_array_equal(read_array(tmp_path / "scene.tif"), STORED)


def test_a_pixel_is_missing_by_what_is_stored(tmp_path: Path) -> None:
    path = write_tif(tmp_path, [1e-4] * C, [0.5] * C, nodata=int(STORED[0, 0, 0]))
    with rasterio.open(path, "r+") as file:
        values = STORED.copy()
        values[2, 3] = STORED[0, 0, 0]
        file.write(values.transpose(2, 0, 1))
    scene = read_unlabelled_scene(path)
    np.testing.assert_array_equal(scene.cube[2, 3], 0)
    np.testing.assert_allclose(scene.cube[4], STORED[4] * 1e-4 + 0.5, rtol=1e-6)


def test_gains_of_an_envi_header_are_applied(tmp_path: Path) -> None:
    more = "data gain values = {0.1, 0.2, 0.3, 0.4}\ndata offset values = {1, 2, 3, 4}\n"
    scene = read_unlabelled_scene(write_envi(tmp_path, more))
    np.testing.assert_allclose(scene.cube, STORED * np.array([0.1, 0.2, 0.3, 0.4]) + np.arange(1, 5), rtol=1e-6)
    assert scene.unit is None


@pytest.mark.parametrize(("gain", "warnings"), [("1e-4", 0), ("0.01", 1)])
def test_factor_and_gains_together_are_applied_once(
    tmp_path: Path, gain: str, warnings: int, package_log: pytest.LogCaptureFixture
) -> None:
    more = f"reflectance scale factor = 10000\ndata gain values = {{{', '.join([gain] * C)}}}\n"
    scene = read_unlabelled_scene(write_envi(tmp_path, more))
    np.testing.assert_allclose(scene.cube, STORED / 10000, rtol=1e-6)
    lines = [message for message in package_log.messages if message.endswith("the factor is taken")]
    assert len(lines) == len(set(lines)) == warnings


@pytest.mark.parametrize("kind", ["envi", "geotiff"])
def test_a_scale_that_file_and_user_both_declare_is_applied_once(tmp_path: Path, kind: str) -> None:
    if kind == "envi":
        path = write_envi(tmp_path, "reflectance scale factor = 10000\n")
    else:
        path = write_tif(tmp_path, [1e-4] * C, [0.0] * C)
    np.save(tmp_path / "labels.npy", np.ones((H, W), dtype=int))
    labelled = {"labels": tmp_path / "labels.npy", "class_names": CLASSES}
    for scale in (1, 10000):
        scene = read_scene(path, scale=scale, unit="reflectance", **labelled)
        np.testing.assert_allclose(scene.cube, STORED / 10000, rtol=1e-6)
        assert scene.unit == "reflectance"
        np.testing.assert_allclose(open_unlabelled(path, scale=scale).cube, STORED / 10000, rtol=1e-6)
    for scale in (100, 1e-4):
        with pytest.raises(InvalidInputError, match=f"scale = {scale:g}"):
            read_scene(path, scale=scale, unit="reflectance", **labelled)
        with pytest.raises(InvalidInputError, match=f"scale = {scale:g}"):
            open_unlabelled(path, scale=scale)


def test_a_scale_per_band_is_no_division(tmp_path: Path) -> None:
    path = write_tif(tmp_path, [1e-4] * C, [0.0, 0.0, 0.0, 0.1])
    stored = StoredValues.by_bands([1e-4] * C, [0.0, 0.0, 0.0, 0.1])
    with pytest.raises(InvalidInputError, match=re.escape(str(stored))):
        read_unlabelled_scene(path, scale=10000)


def test_a_scale_is_for_cubes_of_every_file(tmp_path: Path) -> None:
    np.save(tmp_path / "counts.npy", STORED)
    np.save(tmp_path / "floats.npy", STORED.astype(np.float32))
    for name in ("counts.npy", "floats.npy"):
        np.testing.assert_array_equal(open_unlabelled(tmp_path / name, scale=10000).cube, STORED / np.float32(10000))


@pytest.mark.parametrize(("scale", "offset"), [(0.0, 1.0), (float("nan"), 0.0), (1.0, float("inf"))])
def test_a_scale_that_makes_no_numbers_is_refused(tmp_path: Path, scale: float, offset: float) -> None:
    path = write_tif(tmp_path, [1.0, scale, 1.0, 1.0], [0.0, offset, 0.0, 0.0])
    with pytest.raises(InvalidInputError, match="band 1"):
        read_unlabelled_scene(path)


def test_a_conversion_is_reported_in_a_few_words() -> None:
    """Golden: the wording is asserted here alone."""
    assert str(StoredValues.by_factor(10000, 3)) == "numbers / 10000 = reflectance"
    assert str(StoredValues.by_bands([0.02, 0.02], [1.0, 1.0])) == "numbers x 0.02 + 1"
    assert str(StoredValues.by_bands([0.1, 0.2], [0.0, 1.0])) == "numbers x 0.1 to 0.2 + 0 to 1, by band"
    assert StoredValues.by_bands([1.0, 1.0], [0.0, 0.0]) is None
    assert stored_in_envi(None, [1.0], [0.0], where="a.hdr") is None


def test_a_written_description_has_no_conversion(tmp_path: Path) -> None:
    described = read_description(write_envi(tmp_path, "reflectance scale factor = 10000\n"))
    assert described.stored_as == StoredValues.by_factor(10000, C)
    with pytest.raises(InvalidInputError, match=r"\['stored_as'\]"):
        Description.from_json('{"stored_as": 3}')


def test_reading_a_description_twice_warns_of_nothing(tmp_path: Path, package_log: pytest.LogCaptureFixture) -> None:
    package_log.set_level(logging.WARNING)
    read_unlabelled_scene(write_tif(tmp_path, [1.0] * C, [0.0] * C))
    assert not package_log.records
