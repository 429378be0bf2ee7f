"""ENVI and GeoTIFF as other programs write them."""

import logging
from pathlib import Path

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.files.arrays import read_array, read_description
from sceneshift.files.scenes import export_scene, read_scene, read_unlabelled_scene
from sceneshift.scenes.scene import Georeference, Scene

NO_GEO = "not installed: pip install -e '.[geo]'"
rasterio = pytest.importorskip("rasterio", reason=f"rasterio is {NO_GEO}")
pytest.importorskip("spectral", reason=f"spectral is {NO_GEO}")

CUBE = np.arange(4 * 3 * 5, dtype=np.int16).reshape(4, 3, 5)


def write_envi(folder: Path, *, interleave: str = "bsq", order: str = "<", more: str = "", offset: int = 0) -> Path:
    axes = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}[interleave]
    values = CUBE.transpose(axes).astype(f"{order}i2")
    (folder / "scene.dat").write_bytes(bytes(offset) + values.tobytes())
    header = (
        f"ENVI\nsamples = 3\nlines = 4\nbands = 5\nheader offset = {offset}\nfile type = ENVI Standard\n"
        f"data type = 2\ninterleave = {interleave}\nbyte order = {0 if order == '<' else 1}\n{more}"
    )
    (folder / "scene.hdr").write_text(header)
    return folder / "scene.hdr"


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_interleave_and_byte_order_gives_the_same_cube(tmp_path: Path, interleave: str, order: str) -> None:
    values = read_array(write_envi(tmp_path, interleave=interleave, order=order, offset=7), ndim=3)
    np.testing.assert_array_equal(values, CUBE)
    assert (values.dtype, values.flags.c_contiguous) == (np.dtype(np.int16), True)


@pytest.mark.parametrize(
    ("unit", "factor", "told"),
    [
        ("Micrometers", 1000, ""),
        ("Nanometers", 1, ""),
        ("Unknown", 1000, "up to 0.8 without a unit: taken as micrometres"),
        (None, 1000, "taken as micrometres"),
    ],
)
def test_wavelengths_are_nanometres_whatever_the_unit(
    tmp_path: Path, unit: str | None, factor: int, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    line = "" if unit is None else f"wavelength units = {unit}\n"
    more = f"{line}wavelength = {{0.4, 0.5, 0.6, 0.7,\n 0.8}}\nfwhm = {{0.01, 0.01, 0.01, 0.01, 0.02}}\n"
    with caplog.at_level(logging.WARNING):
        description = read_description(write_envi(tmp_path, more=more))
    np.testing.assert_allclose(description.wavelengths_nm, factor * np.array([0.4, 0.5, 0.6, 0.7, 0.8]))
    np.testing.assert_allclose(description.fwhm_nm, factor * np.array([0.01, 0.01, 0.01, 0.01, 0.02]))
    assert told in caplog.text


def test_a_unit_that_is_no_length_is_told(tmp_path: Path) -> None:
    path = write_envi(tmp_path, more="wavelength units = Index\nwavelength = {1, 2, 3, 4, 5}\n")
    with pytest.raises(InvalidInputError, match=r"scene\.hdr: wavelengths in 'Index'; expected nanometers or micro"):
        read_description(path)


def test_a_scale_factor_is_left_alone_and_ignored_pixels_lose_their_label(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Pixel (0, 0) is ignored throughout; (0, 1) has the value in one band alone, and was measured.
    path = write_envi(tmp_path, more="reflectance scale factor = 10000\ndata ignore value = -9\n")
    values = CUBE.copy()
    values[0, 0], values[0, 1, 2] = -9, -9
    (tmp_path / "scene.dat").write_bytes(values.transpose(2, 0, 1).tobytes())
    np.save(tmp_path / "labels.npy", np.ones((4, 3), dtype=int))
    scene = read_scene(path, labels=tmp_path / "labels.npy", class_names=("soil", "tree"))
    expected = values.astype(np.float32)
    expected[0, 0] = 0
    np.testing.assert_array_equal(scene.cube, expected)
    assert (int(scene.labels[0, 0]), int(scene.labels.sum())) == (0, 11)
    assert "1 of 12 pixels are -9 in every band" in caplog.text


def test_not_a_number_may_be_what_is_ignored(tmp_path: Path) -> None:
    values = np.ones((5, 4, 3), dtype=np.float32)
    values[:, 1, 2] = np.nan
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", count=5, height=4, width=3, dtype="float32", nodata=np.nan,
        crs="EPSG:32616", transform=rasterio.Affine(2, 0, 10, 0, -2, 20),
    ) as file:  # fmt: skip
        file.write(values)
    scene = read_unlabelled_scene(tmp_path / "a.tif")
    assert (scene.cube[1, 2] == 0).all()
    assert scene.cube.sum() == 55
    assert scene.georeference == Georeference(transform=(2, 0, 10, 0, -2, 20), crs="EPSG:32616")


def test_what_is_written_is_read_by_gdal(tmp_path: Path) -> None:
    georeference = Georeference(transform=(20, 0, 500000, 0, -20, 4400000), crs="EPSG:32616")
    scene = Scene(
        name="s",
        cube=CUBE.astype(np.float32),
        labels=np.ones((4, 3), dtype=int),
        class_names=("soil", "tree"),
        georeference=georeference,
        wavelengths_nm=np.arange(400.0, 405),
    )
    for format, path in (("envi", tmp_path / "s.hdr"), ("geotiff", tmp_path / "s.tif")):
        export_scene(scene, path, format)
        with rasterio.open(path.with_suffix(".img") if format == "envi" else path) as file:
            np.testing.assert_array_equal(file.read().transpose(1, 2, 0), scene.cube)
            assert tuple(file.transform)[:6] == georeference.transform
            assert file.crs.to_epsg() == 32616
            assert float(file.tags(3)["wavelength"]) == 402


def test_a_turned_image_loses_its_georeference_in_envi_and_keeps_it_in_geotiff(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    turned = Georeference(transform=(0.6, 0.8, 10, 0.8, -0.6, 20), crs="EPSG:32616")
    scene = Scene(
        name="s",
        cube=CUBE.astype(np.float32),
        labels=np.ones((4, 3), dtype=int),
        class_names=("soil", "tree"),
        georeference=turned,
    )
    export_scene(scene, tmp_path / "s.tif", "geotiff")
    assert read_unlabelled_scene(tmp_path / "s.tif").georeference == turned
    export_scene(scene, tmp_path / "s.hdr", "envi")
    assert "is turned or mirrored, which is not written to ENVI" in caplog.text
    assert read_unlabelled_scene(tmp_path / "s.hdr").georeference is None


def test_a_reference_system_nobody_knows_and_names_envi_cannot_hold_are_told(tmp_path: Path) -> None:
    scene = Scene(
        name="s",
        cube=CUBE.astype(np.float32),
        labels=np.ones((4, 3), dtype=int),
        class_names=("soil, bare", "tree"),
        georeference=Georeference(transform=(1, 0, 0, 0, -1, 4), crs="EPSG:99999999"),
    )
    with pytest.raises(InvalidInputError, match="coordinate reference system 'EPSG:99999999' is unknown"):
        export_scene(scene, tmp_path / "s.tif", "geotiff")
    with pytest.raises(InvalidInputError, match=r"class names \['soil, bare'\]: an ENVI header can't hold commas"):
        export_scene(scene, tmp_path / "s.hdr", "envi")
    assert list(tmp_path.iterdir()) == []
