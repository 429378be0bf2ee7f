"""Situations that users of this field's tools reported in public, as small made inputs: read correctly, or reported.

Those about ENVI headers are in tests/files/formats/test_envi.py, next to the report's name: spectralpython/spectral#121
(bytes behind the numbers), #36 and #73 (which of two files to name), EnMAP-Box/enmap-box#622 (a header alone),
opera-adt/COMPASS#206 (numbers that begin like a JPEG), OSGeo/gdal#4317 (two headers), danforthcenter/plantcv#956
(headers of other programs), asfadmin/ASF_MapReady#421 (lists on the next line); losonczylab/sima#181 (axes of HDF5) is
in tests/files/test_parts_of_files.py.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sceneshift.commands.scene_checks import check_file
from sceneshift.errors import InvalidInputError
from sceneshift.files.arrays import read_array, read_description, read_label_map
from sceneshift.files.scenes import read_unlabelled_scene
from sceneshift.scenes.measured import LeftOut

rasterio = pytest.importorskip("rasterio", reason="not installed: pip install -e '.[geo]'")

H, W, C = 6, 5, 4
CUBE = np.random.default_rng(0).integers(100, 3000, size=(H, W, C)).astype(np.int16)
CENTRES = [420.5, 482.0, 562.25, 2400.0]


def write_tif(path: Path, tags: list[dict[str, str]] | None = None, **profile: object) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", width=W, height=H, count=C, dtype="int16", crs="EPSG:32633",
        transform=rasterio.Affine(30, 0, 380952, 0, -30, 5820372), **profile,
    ) as file:  # fmt: skip
        file.write(CUBE.transpose(2, 0, 1))
        for band, of_band in enumerate(tags or [], start=1):
            file.update_tags(band, **of_band)
    return path


def test_bad_bands_in_a_geotiff_s_tags_are_left_out(tmp_path: Path) -> None:
    # EnMAP-Box/enmap-box#1051: GDAL keeps an ENVI header's bbl as a tag of each band; it was not read.
    path = write_tif(tmp_path / "a.tif", [{"bbl": text} for text in "1101"])
    scene = read_unlabelled_scene(path)
    np.testing.assert_array_equal(scene.cube, CUBE[..., [0, 1, 3]])
    assert scene.left_out == LeftOut(bands_in_file=4, bad=(2,))
    (line,) = [line for line in check_file(path) if "marked as bad" in line]
    assert re.findall(r"\d+", line) == ["1", "2"]


@pytest.mark.parametrize(
    ("unit", "factor"), [("Nanometers", 1), ("nm", 1), ("Micrometers", 0.001), ("um", 0.001), ("µm", 0.001)]
)
@pytest.mark.parametrize("form", ["band {k} ({centre} {unit})", "Blue ( {centre} {unit})", "{centre} {unit}"])
def test_wavelengths_in_the_names_of_bands_are_read(tmp_path: Path, form: str, unit: str, factor: float) -> None:
    # EnMAP-Box/enmap-box#1051: "Description = Blue ( 482 Nanometers)" and no tag with a wavelength.
    path = write_tif(tmp_path / "a.tif")
    with rasterio.open(path, "r+") as file:
        for k, centre in enumerate(CENTRES, start=1):
            file.set_band_description(k, form.format(k=k, centre=round(centre * factor, 6), unit=unit))
    np.testing.assert_allclose(read_unlabelled_scene(path).wavelengths_nm, CENTRES)


@pytest.mark.parametrize("names", [["b1", "b2", "b3", "b4"], ["1 nm", "x", "3 nm", "4 nm"], ["5 nm-ish run"] * 4])
def test_names_of_bands_that_say_no_wavelength_are_names(tmp_path: Path, names: list[str]) -> None:
    path = write_tif(tmp_path / "a.tif")
    with rasterio.open(path, "r+") as file:
        for k, name in enumerate(names, start=1):
            file.set_band_description(k, name)
    assert read_description(path).wavelengths_nm is None


def test_wavelengths_in_gdal_s_imagery_domain_and_in_envi_s_are_read(tmp_path: Path) -> None:
    # EnMAP-Box/enmap-box#1078: CENTRAL_WAVELENGTH_UM; and tags of the image that EnMAP-Box and ENVI write.
    path = write_tif(tmp_path / "a.tif")
    with rasterio.open(path, "r+") as file:
        for k, centre in enumerate(CENTRES, start=1):
            file.update_tags(k, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=str(centre / 1000))
    np.testing.assert_allclose(read_unlabelled_scene(path).wavelengths_nm, CENTRES)
    path = write_tif(tmp_path / "b.tif")
    with rasterio.open(path, "r+") as file:
        text = "{" + ", ".join(map(str, CENTRES)) + "}"
        file.update_tags(ns="ENVI", wavelength=text, wavelength_units="Nanometers", bbl="{1, 0, 1, 1}")
    scene = read_unlabelled_scene(path)
    np.testing.assert_allclose(scene.wavelengths_nm, [420.5, 562.25, 2400.0])
    assert scene.left_out == LeftOut(bands_in_file=4, bad=(1,))


def test_odd_wavelengths_of_a_geotiff_are_reported_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_tif(tmp_path / "a.tif", [{"wavelength": text} for text in ("400", "n/a", "500", "600")])
    scene = read_unlabelled_scene(path)
    np.testing.assert_array_equal(scene.cube, CUBE)
    assert scene.wavelengths_nm is None
    assert "wavelength" in caplog.text


def test_a_stack_of_pages_is_no_image_of_its_first_page(tmp_path: Path) -> None:
    # OSGeo/gdal#1458, cgohlke/tifffile#30: of a stack of pages the first alone was read.
    pages = [Image.fromarray(CUBE[..., k].astype(np.uint16)) for k in range(C)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    for read in (read_array, read_unlabelled_scene, read_label_map, check_file):
        with pytest.raises(InvalidInputError, match=r"4 images \(pages\)"):
            read(tmp_path / "stack.tif")


def test_overviews_and_masks_are_no_pages(tmp_path: Path) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write_tif(tmp_path / "a.tif", tiled=True, blockxsize=16, blockysize=16)
        with rasterio.open(path, "r+") as file:
            file.write_mask(np.ones((H, W), dtype=bool))
            file.build_overviews([2], rasterio.enums.Resampling.nearest)
    np.testing.assert_array_equal(read_unlabelled_scene(path).cube, CUBE)


@pytest.mark.parametrize("value", [-9999, -32768, -999, 32767])
def test_missing_data_that_the_file_does_not_declare_is_reported(
    tmp_path: Path, value: int, caplog: pytest.LogCaptureFixture
) -> None:
    # EnSpec/hytools#18: no value for missing data in the header, and it was guessed from the corners.
    cube = CUBE.copy()
    cube[:2] = value
    np.save(tmp_path / "a.npy", cube)
    scene = read_unlabelled_scene(tmp_path / "a.npy")
    np.testing.assert_array_equal(scene.cube, cube)
    assert f"10 pixels are {value}" in caplog.text
    caplog.clear()
    np.save(tmp_path / "a.npy", CUBE)
    read_unlabelled_scene(tmp_path / "a.npy")
    assert caplog.messages == []
