"""What a file calls missing: each way to say so, read as the same scene."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sceneshift.catalogue.user_cut import Cut
from sceneshift.commands.scene_arguments import Import
from sceneshift.commands.scene_checks import check_file
from sceneshift.commands.scenes import import_scene
from sceneshift.errors import InvalidInputError
from sceneshift.files.arrow_scenes import open_scene, write_scene
from sceneshift.files.formats.description import Description
from sceneshift.files.missing import leave_out_missing
from sceneshift.files.opening import open_unlabelled
from sceneshift.files.scenes import export_scene, read_scene, read_unlabelled_scene
from sceneshift.scenes.measured import LeftOut, describe_missing

rasterio = pytest.importorskip("rasterio", reason="not installed: pip install -e '.[geo]'")

H, W, C = 12, 10, 8
WAVELENGTHS = np.linspace(450, 2400, C)
ENVI_TYPES = {"int16": 2, "float32": 4, "float64": 5, "uint16": 12}
CLASSES = ("soil", "grass", "roof")


def cube_of(dtype: str = "int16") -> np.ndarray:
    return np.random.default_rng(0).integers(100, 3000, size=(H, W, C)).astype(dtype)


def labels_of() -> np.ndarray:
    return (1 + np.arange(W) // 4)[None, :].repeat(H, axis=0)


def write_envi(folder: Path, cube: np.ndarray, more: str = "", *, wavelengths: bool = True) -> Path:
    header = (
        f"ENVI\nsamples = {W}\nlines = {H}\nbands = {C}\nheader offset = 0\ndata type = {ENVI_TYPES[cube.dtype.name]}\n"
        f"interleave = bip\nbyte order = 0\n{more}"
    )
    if wavelengths:
        header += f"wavelength units = Nanometers\nwavelength = {{{', '.join(map(str, WAVELENGTHS))}}}\n"
    (folder / "scene.hdr").write_text(header)
    (folder / "scene.img").write_bytes(cube.tobytes())
    return folder / "scene.hdr"


def write_tif(folder: Path, cube: np.ndarray, **profile: Any) -> Path:
    given = {"driver": "GTiff", "count": cube.shape[2], "height": H, "width": W, "dtype": cube.dtype.name} | profile
    given |= {"crs": "EPSG:32633", "transform": rasterio.Affine(30, 0, 380952, 0, -30, 5820372)}
    with rasterio.open(folder / "scene.tif", "w", **given) as file:
        file.write(cube.transpose(2, 0, 1))
    return folder / "scene.tif"


def hole(cube: np.ndarray, value: float) -> np.ndarray:
    """Two columns lack the last three bands, and one pixel lacks all."""
    cube[:, :2, 5:] = value
    cube[4, 7] = value
    return cube


HOLES = np.zeros((H, W), dtype=bool)
HOLES[:, :2] = True
HOLES[4, 7] = True


def envi_ignoring(text: str, value: float, dtype: str) -> Callable[[Path], Path]:
    return lambda folder: write_envi(folder, hole(cube_of(dtype), value), f"data ignore value = {text}\n")


def tif_with_mask(folder: Path, *, inside: bool) -> Path:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside):
        path = write_tif(folder, cube_of())
        with rasterio.open(path, "r+") as file:
            file.write_mask(~HOLES)
    assert (folder / "scene.tif.msk").exists() != inside
    return path


def tif_with_alpha(folder: Path, **profile: Any) -> Path:
    alpha = np.where(HOLES, 0, 255).astype(np.int16)
    path = write_tif(folder, np.concatenate([cube_of(), alpha[..., None]], axis=2), **profile)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [rasterio.enums.ColorInterp.undefined] * C + [rasterio.enums.ColorInterp.alpha]
    return path


def npy_with(value: float) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.save(folder / "scene.npy", hole(cube_of("float32"), value))
        return folder / "scene.npy"

    return write


WAYS: dict[str, Callable[[Path], Path]] = {
    "int": envi_ignoring("-32768", -32768, "int16"),
    "written as a float": envi_ignoring("-3.2768e+04", -32768, "int16"),
    "with spaces": envi_ignoring("   -9999.0  ", -9999, "int16"),
    "in braces": envi_ignoring("{-9999}", -9999, "int16"),
    "unsigned": envi_ignoring("65535", 65535, "uint16"),
    "zero": envi_ignoring("0", 0, "uint16"),
    "float": envi_ignoring("-9999", -9999, "float32"),
    "a rounded float": envi_ignoring("-3.40282e+38", float(np.finfo(np.float32).min), "float32"),
    "NaN, declared": envi_ignoring("nan", np.nan, "float32"),
    "NaN, not declared": npy_with(np.nan),
    "infinity": npy_with(-np.inf),
    "NaN next to another value": envi_ignoring("-9999", np.nan, "float64"),
    "a TIFF's value": lambda folder: write_tif(folder, hole(cube_of(), -32768), nodata=-32768),
    "a TIFF's NaN": lambda folder: write_tif(folder, hole(cube_of("float32"), np.nan), nodata=np.nan),
    "a mask within": lambda folder: tif_with_mask(folder, inside=True),
    "a .msk file": lambda folder: tif_with_mask(folder, inside=False),
    "an alpha band": tif_with_alpha,
    "an alpha band and a value": lambda folder: tif_with_alpha(folder, nodata=-1),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_pixel_that_lacks_a_band_is_unmeasured(way: str, tmp_path: Path) -> None:
    path = WAYS[way](tmp_path)
    np.save(tmp_path / "labels.npy", labels_of())
    scene = read_scene(path, labels=tmp_path / "labels.npy", class_names=CLASSES)
    np.testing.assert_array_equal(scene.measured, ~HOLES)
    np.testing.assert_array_equal(scene.labels, np.where(HOLES, 0, labels_of()))
    np.testing.assert_array_equal(scene.cube, np.where(HOLES[..., None], 0, cube_of()).astype(np.float32))
    assert scene.left_out == LeftOut(bands_in_file=C, labels=25)
    unlabelled = open_unlabelled(path)
    np.testing.assert_array_equal(unlabelled.cube, scene.cube)
    assert f"    25 of {H * W} pixels unmeasured" in check_file(path)


def test_each_band_may_have_its_own_value() -> None:
    # GDAL writes one value for all bands of a TIFF; other formats and VRTs have one each.
    cube = cube_of()
    cube[:, :2, 5:], cube[4, 7, :5], cube[4, 7, 5:] = -2, -1, -2
    cube[8, 8, 0], cube[8, 8, 7] = -2, -1  # the other bands' value: a number here
    described = Description(ignore_values=(-1, -1, -1, None, -1, -2, -2, -2))
    read = leave_out_missing(cube, described, where="here")
    np.testing.assert_array_equal(read.cube.any(axis=2), ~HOLES)
    assert read.cube[8, 8, 0] == -2
    assert read.left_out is None


def test_a_tiff_s_bands_may_have_their_own_values(tmp_path: Path) -> None:
    path = write_tif(tmp_path, hole(cube_of(), -2))
    entries = "".join(
        f'<PAMRasterBand band="{band}"><NoDataValue>{-2 if band > 5 else -1}</NoDataValue></PAMRasterBand>'
        for band in range(1, C + 1)
    )
    (tmp_path / "scene.tif.aux.xml").write_text(f"<PAMDataset>{entries}</PAMDataset>")
    scene = read_unlabelled_scene(path)
    expected = ~HOLES
    np.testing.assert_array_equal(scene.measured, expected)


def test_a_value_that_the_type_cannot_hold_is_nowhere(tmp_path: Path) -> None:
    cube = cube_of("uint16")
    cube[3] = 65536 - 9999  # what -9999 would be if it were wrapped
    scene = read_unlabelled_scene(write_envi(tmp_path, cube, "data ignore value = -9999\n"))
    np.testing.assert_array_equal(scene.cube, cube.astype(np.float32))
    assert scene.left_out is None


EMPTY: dict[str, tuple[float, str, str]] = {
    "the value for missing data": (-32768, "int16", "data ignore value = -32768\n"),
    "NaN": (np.nan, "float32", ""),
    "zeros": (0, "int16", ""),
}


@pytest.mark.parametrize("way", EMPTY)
def test_an_empty_band_is_left_out_with_its_wavelength(way: str, tmp_path: Path) -> None:
    value, dtype, header = EMPTY[way]
    cube = cube_of(dtype)
    cube[..., 2:4] = value
    path = write_envi(tmp_path, cube, header)
    scene = read_unlabelled_scene(path)
    kept = [0, 1, 4, 5, 6, 7]
    np.testing.assert_array_equal(scene.cube, cube[..., kept].astype(np.float32))
    np.testing.assert_array_equal(scene.wavelengths_nm, WAVELENGTHS[kept])
    assert scene.left_out == LeftOut(bands_in_file=C, empty=(2, 3))
    assert scene.measured.all()
    assert "    2 bands empty: 2-3" in check_file(path)


def test_a_constant_band_with_a_value_stays(tmp_path: Path) -> None:
    cube = cube_of()
    cube[..., 2] = 7
    assert read_unlabelled_scene(write_envi(tmp_path, cube)).num_bands == C


@pytest.mark.parametrize(
    "entries", ["1, 1, 0, 1, 0, 1, 1, 1", "1,1,\n0,1,0,\n1,1,1,", "1.0, 1.0, 0.0, 1, 0.0, 1, 1, 1"]
)
def test_bad_bands_are_left_out(entries: str, tmp_path: Path) -> None:
    cube = cube_of()
    cube[:, 0, 4] = -32768  # a bad band's missing values cost no pixel
    path = write_envi(tmp_path, cube, f"data ignore value = -32768\nbbl = {{{entries}}}\n")
    scene = read_unlabelled_scene(path)
    assert scene.left_out == LeftOut(bands_in_file=C, bad=(2, 4))
    np.testing.assert_array_equal(scene.cube, np.delete(cube, (2, 4), axis=2).astype(np.float32))
    assert scene.measured.all()
    (line,) = [line for line in check_file(path) if "marked as bad" in line]
    assert re.findall(r"\d+", line) == ["2", "2", "4"]


def test_a_bad_band_list_that_is_no_numbers_is_passed_over(tmp_path: Path) -> None:
    assert read_unlabelled_scene(write_envi(tmp_path, cube_of(), "bbl = {good, bad}\n")).num_bands == C


@pytest.mark.parametrize("entries", ["1, 0, 1", "1, 0, 1, 1, 1, 1, 1, 1, 1"])
def test_a_bad_band_list_of_another_length_is_refused_until_it_is_mended_or_removed(
    entries: str, tmp_path: Path
) -> None:
    cube = cube_of()
    path = write_envi(tmp_path, cube, f"bbl = {{{entries}}}\n")
    with pytest.raises(InvalidInputError, match="bbl"):
        read_unlabelled_scene(path)
    header = path.read_text()
    path.write_text(header.replace(entries, "1, 0, 1, 1, 1, 1, 1, 1"))
    assert read_unlabelled_scene(path).left_out == LeftOut(bands_in_file=C, bad=(1,))
    path.write_text(header.replace(f"bbl = {{{entries}}}\n", ""))
    np.testing.assert_array_equal(read_unlabelled_scene(path).cube, cube)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("bbl = {1, 1, 0}\n", "of 3 entries for 8 bands"),
        ("bbl = {0, 0, 0, 0, 0, 0, 0, 0}\n", "none of 8 bands"),
        ("data ignore value = 5\n", "8 hold"),
    ],
)
def test_a_file_without_a_band_is_refused_and_checked(header: str, message: str, tmp_path: Path) -> None:
    cube = np.full((H, W, C), 5, dtype=np.int16) if "ignore" in header else cube_of()
    path = write_envi(tmp_path, cube, header)
    with pytest.raises(InvalidInputError, match=message):
        read_unlabelled_scene(path)
    assert any(message in line for line in check_file(path))


def test_an_imported_scene_says_what_it_lacks(tmp_path: Path) -> None:
    cube = hole(cube_of(), -32768)
    cube[..., 3] = -32768
    path = write_envi(tmp_path, cube, "data ignore value = -32768\nbbl = {1, 0, 1, 1, 1, 1, 1, 1}\n")
    np.save(tmp_path / "labels.npy", labels_of())
    found = import_scene(
        Import(
            file=str(path),
            out=str(tmp_path / "scene.arrow"),
            labels=str(tmp_path / "labels.npy"),
            class_names=CLASSES,
            unit="reflectance",
            wavelengths_nm=tuple(range(400, 480, 10)),
        )
    )
    stored = open_scene(tmp_path / "scene.arrow")
    lines = [f"  {line}" for line in describe_missing(stored)]
    assert len(lines) == 3
    assert found.splitlines()[1:4] == lines
    assert stored.left_out == LeftOut(bands_in_file=8, empty=(3,), bad=(1,), labels=25)
    np.testing.assert_array_equal(stored.measured, ~HOLES)
    assert [
        line for line in check_file(tmp_path / "scene.arrow") if "left out" in line or "unmeasured" in line
    ] == lines


@pytest.mark.parametrize("format", ["npz", "mat", "geotiff"])
def test_an_exported_scene_keeps_what_it_lacks(format: str, tmp_path: Path) -> None:
    cube = hole(cube_of(), -32768)
    cube[..., 3] = -32768
    scene = read_unlabelled_scene(write_envi(tmp_path, cube, "data ignore value = -32768\n"))
    np.save(tmp_path / "labels.npy", labels_of())
    labelled = read_scene(tmp_path / "scene.hdr", labels=tmp_path / "labels.npy", class_names=CLASSES)
    path = tmp_path / ("again.tif" if format == "geotiff" else f"again.{format}")
    export_scene(labelled, path, format)
    again = read_unlabelled_scene(path)
    np.testing.assert_array_equal(again.cube, scene.cube)
    assert labelled.left_out == LeftOut(bands_in_file=8, empty=(3,), labels=25)
    assert again.left_out == replace(labelled.left_out, labels=0)  # lost labels are something about labels


def test_a_stored_scene_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    # It has no record of what was left out; its unmeasured pixels are zeros as well.
    cube = hole(cube_of("float32"), 0)
    cube[:, :2] = 0
    np.savez(tmp_path / "scene.npz", cube=cube, labels=labels_of())
    scene = read_scene(tmp_path / "scene.npz", class_names=CLASSES)
    write_scene(scene, tmp_path / "scene.arrow")
    stored = open_scene(tmp_path / "scene.arrow")
    np.testing.assert_array_equal(stored.measured, ~HOLES)
    assert stored.without_unmeasured_labels() is stored


def test_lost_labels_are_counted_once(tmp_path: Path) -> None:
    """A scene that was exported says how many it lost; another map, or no map, or a part of it, has other losses."""
    cube = cube_of()
    cube[:3, :, 2] = -32768
    path = write_envi(tmp_path, cube, "data ignore value = -32768\n")
    np.save(tmp_path / "labels.npy", labels_of())
    scene = read_scene(path, labels=tmp_path / "labels.npy", class_names=CLASSES)
    assert scene.left_out is not None
    assert scene.left_out.labels == 3 * W
    export_scene(scene, tmp_path / "again.tif", "geotiff")
    export_scene(scene, tmp_path / "again.npz", "npz")
    again = read_scene(tmp_path / "again.tif", labels=tmp_path / "labels.npy", class_names=CLASSES)
    assert describe_missing(replace(again, name="s")) == describe_missing(replace(scene, name="s"))
    for file in ("again.tif", "again.npz"):
        unlabelled = read_unlabelled_scene(tmp_path / file)
        assert unlabelled.left_out is not None
        assert unlabelled.left_out.labels == 0
    own = read_scene(tmp_path / "again.npz")
    assert own.left_out == scene.left_out
    part = Cut(rows=(2, H)).apply(scene, None)
    assert part.left_out is not None
    assert (part.left_out.labels, int((~part.measured).sum())) == (0, W)
