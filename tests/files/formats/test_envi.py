"""ENVI headers as their many writers make them: sound ones are read, and what isn't sure is reported or refused."""

import gzip
import logging
import zlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rasterio", reason="rasterio is not installed: pip install -e '.[geo]'")

from sceneshift.commands.scene_checks import check_file
from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.files.arrays import array_shapes, list_variables, read_array, read_description, read_label_map
from sceneshift.files.scenes import read_scene, read_unlabelled_scene

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
    settings = {key: value for key, value in (keys | changes).items() if value is not None}
    return "ENVI\n" + "".join(f"{key.replace('_', ' ')} = {value}\n" for key, value in settings.items())


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


WAVELENGTHS = "{400, 500.5, 600, 2400}"


@pytest.mark.parametrize(
    ("interleave", "written"),
    [("bil", "Bil"), ("bip", "BIP"), ("bsq", "bSq"), ("bil", "{bil}"), ("bil", '"BIL"')],
)
def test_an_interleave_is_read_in_any_case(tmp_path: Path, interleave: str, written: str) -> None:
    path = write_envi(tmp_path, interleave=interleave)
    path.write_text(path.read_text().replace(f"interleave = {interleave}", f"interleave = {written}"))
    np.testing.assert_array_equal(read_array(path), CUBE)


@pytest.mark.parametrize("interleave", ["tile", "bs", "bsq, bil", "interleaved", "1"])
def test_an_unknown_interleave_is_refused(tmp_path: Path, interleave: str) -> None:
    path = write_envi(tmp_path, interleave=interleave)
    for read in (read_array, read_unlabelled_scene, check_file):
        with pytest.raises(InvalidInputError, match="interleave: got"):
            read(path)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(header_of(CUBE).upper(), id="upper case"),
        pytest.param(header_of(CUBE).title().replace("Envi\n", "ENVI\n"), id="title case"),
        pytest.param("\ufeff" + header_of(CUBE), id="byte order mark"),
        pytest.param(header_of(CUBE).encode("utf-16"), id="UTF-16"),
        pytest.param(header_of(CUBE).encode("utf-16-be").join((b"\xfe\xff", b"")), id="UTF-16, big endian"),
        pytest.param((header_of(CUBE) + "description = {Überflug, 5 µm}\n").encode("cp1252"), id="cp1252"),
        pytest.param((header_of(CUBE) + "description = {航空}\n").encode("gbk"), id="GBK"),
        pytest.param(header_of(CUBE).replace("\n", "\r\n"), id="Windows"),
        pytest.param(header_of(CUBE).replace("\n", "\r"), id="old Mac"),
        pytest.param("\n  " + header_of(CUBE), id="a blank line first"),
        pytest.param(header_of(CUBE).replace(" = ", "="), id="no blanks"),
        pytest.param(header_of(CUBE).replace(" = ", "\t=\t"), id="tabs"),
        pytest.param(header_of(CUBE).replace("header offset", "header_offset"), id="an underscore"),
        pytest.param(header_of(CUBE, header_offset=None), id="no offset"),
        pytest.param(header_of(CUBE, file_type=None), id="no file type"),
        pytest.param(header_of(CUBE, file_type="Something Else"), id="another file type"),
        pytest.param(header_of(CUBE, samples=f"{{{W}}}", lines=f"{H}.0", bands=f"{C} ; bands"), id="odd numbers"),
        pytest.param(header_of(CUBE) + "x = " + 20_000 * "y" + "\n", id="a long line"),
        pytest.param("ENVI\nx = " + 20_000 * "y" + "\n" + header_of(CUBE)[5:], id="a long line first"),
        pytest.param(header_of(CUBE) + "; samples = 99\n;bands = 99\n", id="comments"),
        pytest.param(header_of(CUBE) + "description = {samples = 99\nlines = 99}\n", id="keys in a text"),
        pytest.param(header_of(CUBE) + "\0\0\0", id="zeros behind"),
    ],
)
def test_sound_headers_give_the_same_cube(tmp_path: Path, header: str | bytes) -> None:
    np.testing.assert_array_equal(read_array(write_envi(tmp_path, header=header)), CUBE)
    np.testing.assert_array_equal(read_unlabelled_scene(tmp_path / "scene.hdr").cube, CUBE)


def test_a_missing_byte_order_is_reported_and_taken_as_little_endian(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for missing in (None, ""):
        path = write_envi(tmp_path, byte_order=missing)
        caplog.clear()
        np.testing.assert_array_equal(read_unlabelled_scene(path).cube, CUBE)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "byte order" in caplog.text
    caplog.clear()
    read_description(write_envi(tmp_path, LABELS, byte_order=None))
    assert caplog.messages == []  # bytes have no order


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": None},
        {"lines": None},
        {"bands": None},
        {"data_type": None},
        {"samples": "five"},
        {"samples": "5abc"},
        {"lines": "-6"},
        {"bands": "0"},
        {"bands": "4.5"},
        {"data_type": "7"},
        {"data_type": "int16"},
        {"byte_order": "2"},
        {"byte_order": "Intel"},
        {"header_offset": "-1"},
        {"header_offset": "512"},
        {"samples": "6"},
        {"bands": "99999999999"},
        {"interleave": None},
        {"file_compression": "1"},  # the numbers are not compressed
        {"file_compression": "2"},
        {"file_type": "ENVI Meta File"},
        {"major_frame_offsets": "{0, 4}"},
    ],
    ids=str,
)
def test_a_header_that_does_not_say_how_numbers_are_stored_is_refused(tmp_path: Path, changes: dict[str, str]) -> None:
    path = write_envi(tmp_path, header=header_of(CUBE, **changes))
    for read in (read_array, read_unlabelled_scene):
        with pytest.raises(InvalidInputError):
            read(path)


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_numbers_compressed_by_gzip_are_the_same(
    tmp_path: Path, interleave: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_envi(tmp_path, interleave=interleave, file_compression="1", header_offset="3")
    data = tmp_path / "scene.img"
    data.write_bytes(gzip.compress(b"any" + data.read_bytes()))
    assert array_shapes(path) == {"the image": CUBE.shape}
    np.testing.assert_array_equal(read_array(path), CUBE)
    np.testing.assert_array_equal(read_unlabelled_scene(path).cube, CUBE)
    assert any(f"{H} x {W} pixels, {C} bands, int16" in line for line in check_file(path))
    assert caplog.messages == []


def test_a_compressed_label_map_is_read(tmp_path: Path) -> None:
    path = write_envi(tmp_path, LABELS, file_compression="1", file_type="ENVI Classification")
    (tmp_path / "scene.img").write_bytes(gzip.compress(LABELS.tobytes()))
    np.testing.assert_array_equal(read_label_map(path), LABELS)


def compressed(content: bytes) -> dict[str, bytes]:
    """Contents of files that are no gzip file of an image, by what is wrong with them."""
    whole = gzip.compress(content)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    return {
        "not compressed": content,
        "zlib": zlib.compress(content),
        "truncated": whole[:-20],
        "without its checksum": whole[:-8],
        "another bit": bytes(flipped),
        "too few": gzip.compress(content[:-1]),
        "too many": gzip.compress(content + b"x"),
    }


@pytest.mark.parametrize("what", compressed(b"content"))
def test_what_is_no_gzip_file_of_the_image_is_refused(tmp_path: Path, what: str) -> None:
    path = write_envi(tmp_path, file_compression="1")
    data = tmp_path / "scene.img"
    data.write_bytes(compressed(data.read_bytes())[what])
    with pytest.raises(InvalidInputError, match=r"scene\.(img|hdr)"):
        read_array(path)


def test_a_small_file_that_is_to_become_gigabytes_is_refused_at_once(tmp_path: Path) -> None:
    path = write_envi(tmp_path, file_compression="1", samples="100000", lines="100000")
    (tmp_path / "scene.img").write_bytes(gzip.compress(CUBE.tobytes()))
    for read in (list_variables, read_array):
        with pytest.raises(InvalidInputError, match="80000000000 bytes"):
            read(path)


def test_a_key_that_is_twice_with_two_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="bands: got 4 and 3"):
        read_array(write_envi(tmp_path, header=header_of(CUBE) + "Bands = 3\n"))
    np.testing.assert_array_equal(read_array(write_envi(tmp_path, header=header_of(CUBE) + "BANDS = 4\n")), CUBE)


def test_one_band_needs_no_interleave(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_array(write_envi(tmp_path, LABELS, header_of(LABELS, interleave=None))), LABELS)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("Nanometers", 1),
        ("{Nanometers}", 1),
        ("Nanometers (nm)", 1),
        ("nanometers.", 1),
        ("nanometres", 1),
        ("NM", 1),
        ("Micrometer (um)", 1000),
        ("Microns", 1000),
        ("Å", 0.1),
        ("Angstroms", 0.1),
        ("Index", None),
        ("Wavenumber", None),
        ("GHz", None),
        ("furlongs", None),
    ],
)
def test_units_are_understood_or_reported_and_passed_over(
    tmp_path: Path, unit: str, factor: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    centres = np.array([400, 500.5, 600, 2400]) / (factor or 1)
    wavelengths = "{" + ", ".join(map(str, centres)) + "}"
    scene = read_unlabelled_scene(write_envi(tmp_path, wavelength_units=unit, wavelength=wavelengths))
    np.testing.assert_array_equal(scene.cube, CUBE)
    if factor is None:
        assert scene.wavelengths_nm is None
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
    else:
        np.testing.assert_allclose(scene.wavelengths_nm, [400, 500.5, 600, 2400])
        assert caplog.messages == []


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("wavelength", "{400, 500, nan, 700}"),
        ("wavelength", "{400, 500, 600}"),
        ("wavelength", "{a, b, c, d}"),
        ("wavelength", "400 500 600 700"),
        ("wavelength", "{0, 0, 0, 0}"),
        ("wavelength", "{-1, 500, 600, 700}"),
        ("wavelength", ""),
        ("wavelength", "{4, 5, 6, 7}"),
        ("wavelength", "{400000, 500000, 600000, 700000}"),
        ("fwhm", "{10, inf, 10, 10}"),
        ("fwhm", "none"),
        ("data_ignore_value", "None"),
        ("data_ignore_value", "-nan(ind)"),
        ("data_ignore_value", "1.#QNAN"),
        ("data_ignore_value", ""),
        ("data_ignore_value", "{-9999, -9998}"),
        ("reflectance_scale_factor", "yes"),
        ("bbl", "{good, bad, good, good}"),
        ("map_info", "{UTM, 1, 1, 500000, 4400000, 0, 0, 16, North, WGS-84}"),
        ("map_info", "{UTM, 1, 1, nan, 4400000, 20, 20, 16, North, WGS-84}"),
    ],
)
def test_odd_values_of_optional_keys_are_reported_and_passed_over(
    tmp_path: Path, key: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene = read_unlabelled_scene(write_envi(tmp_path, wavelength_units="nm", **{key: text}))
    np.testing.assert_array_equal(scene.cube, CUBE)
    assert (scene.wavelengths_nm, scene.unit, scene.left_out) == (None, None, None)
    assert caplog.records
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


@pytest.mark.parametrize("end", [",}", ", }", ",\n}", "\n,\n}"])
def test_a_list_may_end_in_a_comma(tmp_path: Path, end: str) -> None:
    path = write_envi(tmp_path, wavelength_units="nm", wavelength="{400, 500.5, 600, 2400" + end)
    np.testing.assert_array_equal(read_unlabelled_scene(path).wavelengths_nm, [400, 500.5, 600, 2400])


def test_a_list_may_begin_on_the_next_line(tmp_path: Path) -> None:
    # PolSARpro's headers, and those of ASF's tools.
    path = write_envi(tmp_path, wavelength_units="nm", wavelength="\n" + WAVELENGTHS, sensor_type="")
    np.testing.assert_array_equal(read_unlabelled_scene(path).wavelengths_nm, [400, 500.5, 600, 2400])


@pytest.mark.parametrize("ending", ["", ".bsq", ".BSQ", ".bin", ".dat", ".IMG", ".ref", ".Img", ".rdn_orig"])
def test_numbers_go_by_the_header_s_name_with_any_ending(tmp_path: Path, ending: str) -> None:
    write_envi(tmp_path, ending=ending)
    (tmp_path / "scene.txt").write_text("about it")
    (tmp_path / "scene.hdr.bak").write_text("old")
    np.testing.assert_array_equal(read_array(tmp_path / "scene.hdr"), CUBE)


def test_of_several_files_the_one_of_the_header_s_size_is_taken(tmp_path: Path) -> None:
    path = write_envi(tmp_path, ending=".bsq")
    (tmp_path / "scene.img").write_bytes(b"something else")
    np.testing.assert_array_equal(read_array(path), CUBE)


def test_a_header_next_to_a_tiff_is_not_that_image_s(tmp_path: Path) -> None:
    import rasterio

    path = write_envi(tmp_path)
    (tmp_path / "scene.img").unlink()
    for name in ("scene.tif", "scene.img", "scene"):
        with rasterio.open(
            tmp_path / name,
            "w",
            driver="GTiff",
            width=W,
            height=H,
            count=C,
            dtype="int16",
            transform=rasterio.Affine.scale(2),
        ) as file:
            file.write(CUBE.transpose(2, 0, 1))
        with pytest.raises(InvalidInputError, match=f"{name}"):
            read_array(path)
        (tmp_path / name).unlink()


def test_numbers_that_begin_like_another_format_are_numbers(tmp_path: Path) -> None:
    # opera-adt/COMPASS#206: the first bytes of raw numbers were those of a JPEG.
    for first in (b"\xff\xd8\xff\xe0", b"II*\0", b"\x89PNG", b"CDF\x01", b"\x89HDF"):
        values = CUBE.copy()
        values[0, :2, 0] = np.frombuffer(first, dtype=np.int16)
        np.testing.assert_array_equal(read_array(write_envi(tmp_path, values)), values)


def test_of_two_headers_the_one_that_is_named_is_read(tmp_path: Path) -> None:
    # OSGeo/gdal#4317: GDAL takes scene.hdr or scene.img.hdr, whichever it looks for first.
    write_envi(tmp_path)
    big = tmp_path / "scene.img.hdr"
    big.write_text(header_of(CUBE, byte_order="1"))
    np.testing.assert_array_equal(read_array(tmp_path / "scene.hdr"), CUBE)
    np.testing.assert_array_equal(read_array(big), CUBE.byteswap())
    (tmp_path / "Scene.hdr").write_text(header_of(CUBE, byte_order="1"))
    np.testing.assert_array_equal(read_array(tmp_path / "scene.hdr"), CUBE)


def test_what_is_left_of_the_numbers_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # spectralpython/spectral#121: a file with bytes behind what its header states.
    path = write_envi(tmp_path)
    with (tmp_path / "scene.img").open("ab") as file:
        file.write(bytes(7))
    np.testing.assert_array_equal(read_unlabelled_scene(path).cube, CUBE)
    assert "7 bytes more" in caplog.text


def test_who_names_the_numbers_is_reported_the_header(tmp_path: Path) -> None:
    # spectralpython/spectral#36, #73: which of the two files is to be named.
    path = write_envi(tmp_path, ending=".bsq")
    for read in (read_array, read_label_map, read_unlabelled_scene, check_file):
        with pytest.raises(InvalidInputError, match=f"Name {path}"):
            read(tmp_path / "scene.bsq")
    path.rename(tmp_path / "scene.bsq.HDR")
    with pytest.raises(InvalidInputError, match=r"Name .*scene\.bsq\.HDR"):
        read_array(tmp_path / "scene.bsq")
    (tmp_path / "scene.bsq.HDR").unlink()
    with pytest.raises(InvalidInputError, match=r"scene\.hdr.*scene\.bsq"):
        read_array(tmp_path / "scene.bsq")


def test_a_header_that_is_not_there_is_reported_with_those_that_are(tmp_path: Path) -> None:
    write_envi(tmp_path, name="scene.img", ending="")
    with pytest.raises(MissingDataError, match=r"scene\.img"):
        read_array(tmp_path / "scene.hdr")


def test_a_header_without_its_numbers_says_what_was_looked_for(tmp_path: Path) -> None:
    # EnMAP-Box/enmap-box#622: the header alone was there.
    path = write_envi(tmp_path)
    (tmp_path / "scene.img").unlink()
    with pytest.raises(InvalidInputError, match=r"scene\.img.*\.img.*\.dat"):
        read_array(path)


@pytest.mark.parametrize(
    "text",
    ["BYTEORDER I\nLAYOUT BIL\nNROWS 6\nNCOLS 5\nNBANDS 4\nNBITS 16\n", "#?RADIANCE\n", "ENVIRONMENT\n", "\0\0\x01"],
)
def test_headers_of_other_programs_are_reported_as_such(tmp_path: Path, text: str) -> None:
    # danforthcenter/plantcv#956: .hdr files with NROWS and LAYOUT, which are ESRI's.
    with pytest.raises(InvalidInputError, match="ENVI header"):
        read_array(write_envi(tmp_path, header=text))


def test_a_spectral_library_is_reported_for_what_it_is(tmp_path: Path) -> None:
    spectra = np.random.default_rng(0).random((3, 40)).astype(np.float32)
    path = write_envi(tmp_path, spectra, file_type="ENVI Spectral Library", ending=".sli", spectra_names="{a, b, c}")
    assert array_shapes(path) == {}
    (about,) = list_variables(path).values()
    assert (about.shape, about.numeric) == ((3, 40), False)
    for read in (read_unlabelled_scene, read_label_map, read_array):
        with pytest.raises(InvalidInputError, match="3 x 40"):
            read(path)
    assert any("spectral library" in line for line in check_file(path))


@pytest.mark.parametrize(
    ("names", "more", "expected"),
    [
        ("{Unclassified, soil, grass, roof}", {}, ("soil", "grass", "roof")),
        ("{UNCLASSIFIED, soil, grass, roof,}", {}, ("soil", "grass", "roof")),
        ("{unlabeled, soil, grass, roof}", {}, ("soil", "grass", "roof")),
        ("{Background, soil, grass, roof}", {}, ("soil", "grass", "roof")),
        ("{soil, grass, roof}", {}, ("soil", "grass", "roof")),
        ("{soil, grass, roof}", {"classes": "3"}, ("soil", "grass", "roof")),
        ("{soil, grass, roof}", {"classes": "4"}, ("soil", "grass", "roof")),
        (
            "{fond, soil, grass, roof}",
            {"class_lookup": "{0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255}"},
            ("soil", "grass", "roof"),
        ),
    ],
)
@pytest.mark.parametrize("some_unlabelled", [False, True])
def test_class_names_with_or_without_unclassified(
    tmp_path: Path, names: str, more: dict[str, str], expected: tuple[str, ...], some_unlabelled: bool
) -> None:
    labels = LABELS.copy()
    labels[0] = 0 if some_unlabelled else labels[0]
    write_envi(tmp_path, name="cube")
    path = write_envi(tmp_path, labels, name="gt", file_type="ENVI Classification", class_names=names, **more)
    scene = read_scene(tmp_path / "cube.hdr", labels=path)
    assert scene.class_names == expected
    np.testing.assert_array_equal(scene.labels, labels)


def test_a_first_name_that_may_be_a_class_is_asked_about(tmp_path: Path) -> None:
    write_envi(tmp_path, name="cube")
    path = write_envi(tmp_path, LABELS - 1, name="gt", class_names="{soil, grass, roof}")
    with pytest.raises(InvalidInputError, match="'soil'"):
        read_scene(tmp_path / "cube.hdr", labels=path)
    scene = read_scene(tmp_path / "cube.hdr", labels=path, label_values=(0, 1, 2))
    assert scene.class_names == ("soil", "grass", "roof")
    np.testing.assert_array_equal(scene.labels, LABELS)
    scene = read_scene(tmp_path / "cube.hdr", labels=path, class_names=("grass", "roof"))
    np.testing.assert_array_equal(scene.labels, LABELS - 1)
