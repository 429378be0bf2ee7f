"""ENVI and GeoTIFF as other programs write them."""

import logging
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.files.arrays import read_array, read_description
from sceneshift.files.scenes import export_scene, read_scene, read_unlabelled_scene
from sceneshift.scenes.measured import LeftOut
from sceneshift.scenes.scene import Georeference, Scene

rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed: pip install -e '.[geo]'")

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
    ("unit", "factor", "expected"),
    [
        ("Micrometers", 1000, ""),
        ("Nanometers", 1, "up to 0.8 in 'Nanometers'"),
        ("Unknown", 1000, "up to 0.8"),
        (None, 1000, "micrometres"),
    ],
)
def test_wavelengths_are_nanometres_whatever_the_unit(
    tmp_path: Path, unit: str | None, factor: int, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    line = "" if unit is None else f"wavelength units = {unit}\n"
    more = f"{line}wavelength = {{0.4, 0.5, 0.6, 0.7,\n 0.8}}\nfwhm = {{0.01, 0.01, 0.01, 0.01, 0.02}}\n"
    with caplog.at_level(logging.WARNING):
        description = read_description(write_envi(tmp_path, more=more))
    assert expected in caplog.text
    if factor == 1:  # no light
        assert (description.wavelengths_nm, description.fwhm_nm) == (None, None)
        return
    np.testing.assert_allclose(description.wavelengths_nm, factor * np.array([0.4, 0.5, 0.6, 0.7, 0.8]))
    np.testing.assert_allclose(description.fwhm_nm, factor * np.array([0.01, 0.01, 0.01, 0.01, 0.02]))


HEADER = "ENVI\nsamples = 3\nlines = 4\nbands = 5\nheader offset = 0\ndata type = 2\ninterleave = bsq\nbyte order = 0\n"


def write_header(folder: Path, header: str | bytes) -> Path:
    (folder / "scene.dat").write_bytes(CUBE.transpose(2, 0, 1).tobytes())
    (folder / "scene.hdr").write_bytes(header if isinstance(header, bytes) else header.encode())
    return folder / "scene.hdr"


@pytest.mark.parametrize("interleave", ["Bil", "BIP", "bIp"])
def test_an_interleave_is_the_same_in_any_case(tmp_path: Path, interleave: str) -> None:
    path = write_envi(tmp_path, interleave=interleave.lower())
    path.write_text(path.read_text().replace(interleave.lower(), interleave))
    np.testing.assert_array_equal(read_array(path), CUBE)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("= bsq", "= tile", r"scene\.hdr.*interleave: got tile"),
        ("interleave = bsq\n", "", r"scene\.hdr.*interleave: got nothing"),
        ("data type = 2\n", "", r"scene\.hdr"),
        ("data type = 2", "data type = 99", r"scene\.hdr.*99"),
        (
            "ENVI\n",
            "ENVI\nmajor frame offsets = {0, 4}\n",
            r"scene\.hdr",
        ),
        ("ENVI\n", "ENVI\nwavelength = {1, 2\n", r"scene\.hdr"),
        ("bands = 5", "bands = 6", r"scene\.dat.*120 bytes.*scene\.hdr.*144"),
    ],
)
def test_what_gdal_would_read_otherwise_is_refused(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in HEADER
    with pytest.raises(InvalidInputError, match=expected):
        read_array(write_header(tmp_path, HEADER.replace(old, new, 1)))


def test_of_several_files_of_numbers_that_of_the_interleave_is_taken(tmp_path: Path) -> None:
    path = write_envi(tmp_path, interleave="bil")
    (tmp_path / "scene.dat").rename(tmp_path / "scene.BIL")
    for other in ("scene.bsq", "scene.bip"):
        (tmp_path / other).write_bytes(bytes(120))
    (tmp_path / "scene.BIL").rename(tmp_path / "scene.bil")
    np.testing.assert_array_equal(read_array(path), CUBE)
    (tmp_path / "scene.bil").unlink()
    assert not read_array(path).any()


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ("Class Names = {none, a = b, (c)}\n", ("a = b", "(c)")),
        ("class names = {\n none\n, dry soil,\n roof,\n}\n", ("dry soil", "roof")),
        ("; class names = {none, x, y}\nclass names = {none, größe, b}\n", ("größe", "b")),
        ("class names = {none, größe, b}\n".encode("cp1252"), ("größe", "b")),
        ("x = " + 20_000 * "y" + "\nclass names = {none, a, b}\n", ("a", "b")),
        ("description = {class names = {none, x, y}\n}\nclass names = {none, a, b}\n", ("a", "b")),
    ],
)
def test_class_names_of_odd_headers(tmp_path: Path, more: str | bytes, names: tuple[str, ...]) -> None:
    path = write_header(tmp_path, HEADER.encode() + (more if isinstance(more, bytes) else more.encode()))
    assert read_description(path).class_names == names


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("-9.5e3", -9500.0, ""),
        ("{-9999}", -9999.0, ""),
        ("None", None, "got 'None'"),
        ("", None, ""),
    ],
)
def test_a_value_to_ignore_is_a_number_or_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, value: float | None, expected: str
) -> None:
    described = read_description(write_header(tmp_path, HEADER + f"data ignore value = {text}\n"))
    assert described.ignore_value == value
    assert expected in caplog.text


def test_a_list_may_end_in_a_comma(tmp_path: Path) -> None:
    more = "wavelength units = nm\nwavelength = {401, 402, 403, 404,\n 405,}\n"
    assert read_description(write_header(tmp_path, HEADER + more)).wavelengths_nm == (401.0, 402.0, 403.0, 404.0, 405.0)


def test_a_thousand_bands_come_back_with_the_place_on_the_ground(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scene = Scene(
        name="s",
        cube=rng.random((4, 3, 1000), dtype=np.float32),
        labels=np.ones((4, 3), dtype=int),
        class_names=("soil", "tree"),
        georeference=Georeference(
            transform=(10 / 3, 0, 380952.3712345678, 0, -7.1, 5820372.351234567), crs="EPSG:32633"
        ),
        wavelengths_nm=400 + np.cumsum(rng.random(1000)),
    )
    export_scene(scene, tmp_path / "s.hdr", "envi")
    back = read_unlabelled_scene(tmp_path / "s.hdr")
    np.testing.assert_array_equal(back.cube, scene.cube)
    np.testing.assert_array_equal(back.wavelengths_nm, scene.wavelengths_nm)
    assert back.georeference == scene.georeference


@pytest.mark.parametrize("name", ["scene.hdr", "scene.tif"])
def test_numbers_are_in_memory_once(tmp_path: Path, name: str) -> None:
    values = np.arange(300 * 200 * 40, dtype=np.int16).reshape(300, 200, 40)
    if name == "scene.tif":
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", count=40, height=300, width=200, dtype="int16",
            transform=rasterio.Affine(2, 0, 10, 0, -2, 20),
        ) as file:  # fmt: skip
            file.write(values.transpose(2, 0, 1))
    else:
        header = HEADER.replace("samples = 3", "samples = 200").replace("lines = 4", "lines = 300")
        path = write_header(tmp_path, header.replace("bands = 5", "bands = 40"))
        path.with_suffix(".dat").write_bytes(values.transpose(2, 0, 1).tobytes())
    read_description(tmp_path / name)
    tracemalloc.start()
    read = read_array(tmp_path / name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(read, values)
    assert values.nbytes <= peak < 1.5 * values.nbytes


def test_a_scale_factor_divides_and_ignored_pixels_lose_their_label(tmp_path: Path) -> None:
    # Pixel (0, 0) is ignored throughout; (0, 1) lacks one band.
    path = write_envi(tmp_path, more="reflectance scale factor = 10000\ndata ignore value = -9\n")
    values = CUBE.copy()
    values[0, 0], values[0, 1, 2] = -9, -9
    (tmp_path / "scene.dat").write_bytes(values.transpose(2, 0, 1).tobytes())
    np.save(tmp_path / "labels.npy", np.ones((4, 3), dtype=int))
    scene = read_scene(path, labels=tmp_path / "labels.npy", class_names=("soil", "tree"))
    expected = values / np.float32(10000)
    expected[0, :2] = 0
    np.testing.assert_array_equal(scene.cube[0, :2], 0)
    np.testing.assert_allclose(scene.cube, expected, rtol=1e-7)
    assert scene.unit == "reflectance"
    assert (int(scene.labels[0, :2].sum()), int(scene.labels.sum())) == (0, 10)
    assert scene.left_out == LeftOut(bands_in_file=5, labels=2)


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
    assert "ENVI" in caplog.text
    assert read_unlabelled_scene(tmp_path / "s.hdr").georeference is None


def test_a_reference_system_nobody_knows_and_names_envi_cannot_hold_are_reported(tmp_path: Path) -> None:
    scene = Scene(
        name="s",
        cube=CUBE.astype(np.float32),
        labels=np.ones((4, 3), dtype=int),
        class_names=("soil, bare", "tree"),
        georeference=Georeference(transform=(1, 0, 0, 0, -1, 4), crs="EPSG:99999999"),
    )
    with pytest.raises(InvalidInputError, match="'EPSG:99999999'"):
        export_scene(scene, tmp_path / "s.tif", "geotiff")
    with pytest.raises(InvalidInputError, match=r"\['soil, bare'\].*ENVI"):
        export_scene(scene, tmp_path / "s.hdr", "envi")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize(("interleave", "order"), [("bsq", "<"), ("bil", ">"), ("bip", "<"), ("bip", ">")])
def test_a_plain_header_gives_what_gdal_reads_by_itself(
    tmp_path: Path, dtype: str, interleave: str, order: str
) -> None:
    codes = {"u1": 1, "i2": 2, "i4": 3, "f4": 4, "f8": 5, "u2": 12, "u4": 13, "i8": 14, "u8": 15}
    axes = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}[interleave]
    values = np.random.default_rng(0).integers(0, 200, size=(4, 3, 5)).astype(dtype)
    (tmp_path / "scene.dat").write_bytes(bytes(13) + values.transpose(axes).astype(order + dtype).tobytes())
    (tmp_path / "scene.hdr").write_text(
        "ENVI\ndescription = {a flight,\n over fields}\nsamples = 3\nlines = 4\nbands = 5\nheader offset = 13\n"
        f"file type = ENVI Standard\ndata type = {codes[dtype]}\ninterleave = {interleave}\n"
        f"byte order = {int(order == '>')}\nmap info = {{UTM, 1.5, 1, 500000, 4400000, 20, 10, 16, North, WGS-84}}\n"
        "data gain values = {2, 2, 2, 2, 0.5}\ndata offset values = {0, 0, 1, 0, 0}\nband names = {a, b, c, d, e}\n"
    )
    with rasterio.open(tmp_path / "scene.dat", driver="ENVI") as file:
        of_gdal, transform, crs = file.read().transpose(1, 2, 0), tuple(file.transform)[:6], file.crs.to_string()
        scales, offsets = file.scales, file.offsets
    read, described = read_array(tmp_path / "scene.hdr"), read_description(tmp_path / "scene.hdr")
    assert read.dtype == of_gdal.dtype
    np.testing.assert_array_equal(read, of_gdal)
    np.testing.assert_array_equal(read, values)
    assert described.georeference == Georeference(transform=transform, crs=crs)
    assert described.stored_as is not None
    assert (described.stored_as.gains, described.stored_as.offsets) == (scales, offsets)
