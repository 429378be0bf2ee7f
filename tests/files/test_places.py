"""Whether two files are at one place: agreement, refusals with both places, and cuts to what both cover."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sceneshift.errors import InvalidInputError
from sceneshift.files.places import (
    TOLERANCE,
    Raster,
    cut_footprint,
    cut_georeference,
    georeference_of,
    place_labels,
    shared_pixels,
)
from sceneshift.files.scenes import export_labels, export_scene, read_scene
from sceneshift.scenes.scene import Footprint, Georeference, Scene, UnlabelledScene, mask_as_text, mask_from_text

rasterio = pytest.importorskip("rasterio")

H, W, C = 24, 20, 4
X, Y = 380952.37, 5820372.35
NORTH_UP = (30.0, 0.0, X, 0.0, -30.0, Y)
SOUTH_UP = (30.0, 0.0, X, 0.0, 30.0, Y)
ROTATED = (24.0, 18.0, X, 18.0, -24.0, Y)
UTM = "EPSG:32633"
#: The same system as ENVI and ArcGIS write it.
ESRI_UTM = (
    'PROJCS["WGS_1984_UTM_Zone_33N",GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,'
    '298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["False_Easting",500000.0],PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",15.0],'
    'PARAMETER["Scale_Factor",0.9996],PARAMETER["Latitude_Of_Origin",0.0],UNIT["Meter",1.0]]'
)
LABELS = np.repeat([1, 2, 3], [7, 7, 6])[None].repeat(H, axis=0)
LABELS[:, 0] = np.arange(H) % 3 + 1  # no row is like the next
CUBE = np.random.default_rng(0).integers(300, 3000, (H, W, C)).astype(np.int16)

Transform = tuple[float, float, float, float, float, float]


def moved(transform: Transform, *, columns: float, rows: float) -> Transform:
    a, b, c, d, e, f = transform
    return a, b, c + a * columns + b * rows, d, e, f + d * columns + e * rows


def raster(
    transform: Transform | None, *, crs: str | None = UTM, shape: tuple[int, int] = (H, W), what: str = "b"
) -> Raster:
    place = None if transform is None else Georeference(transform=transform, crs=crs)
    return Raster(what=what, shape=shape, georeference=place)


def write_tif(path: Path, array: np.ndarray, transform: Transform | None, crs: str | None = UTM) -> Path:
    bands = np.atleast_3d(array).transpose(2, 0, 1)
    place = {} if transform is None else {"transform": rasterio.Affine(*transform), "crs": crs}
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2],
        dtype=bands.dtype, **place,
    ) as file:  # fmt: skip
        file.write(bands)
    return path


WHOLE = (slice(0, H), slice(0, W))


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED])
@pytest.mark.parametrize("cut", [False, True])
def test_the_same_place_needs_no_cut(transform: Transform, cut: bool) -> None:
    assert shared_pixels(raster(transform), raster(transform), cut_to_overlap=cut) == (WHOLE, WHOLE)


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED])
@pytest.mark.parametrize(
    ("columns", "rows", "of_first", "of_second"),
    [
        (5, 0, (slice(0, 24), slice(5, 20)), (slice(0, 24), slice(0, 15))),
        (-5, 3, (slice(3, 24), slice(0, 15)), (slice(0, 21), slice(5, 20))),
        (0, -23, (slice(0, 1), slice(0, 20)), (slice(23, 24), slice(0, 20))),
    ],
)
def test_whole_pixels_apart_is_refused_with_both_places_and_cut_on_demand(
    transform: Transform, columns: int, rows: int, of_first: tuple[slice, slice], of_second: tuple[slice, slice]
) -> None:
    one, other = raster(transform, what="cube a"), raster(moved(transform, columns=columns, rows=rows), what="map b")
    with pytest.raises(InvalidInputError, match=rf"{rows}.*{columns}") as error:
        shared_pixels(one, other, cut_to_overlap=False)
    message = str(error.value)
    turned = {NORTH_UP: "north up", SOUTH_UP: "south up", ROTATED: "rotated by 36.8699°"}[transform]
    for place in (one.georeference, other.georeference):
        assert place is not None
        assert (
            f"origin ({place.transform[2]:.12g}, {place.transform[5]:.12g}), pixel size 30 x 30, {turned}, {UTM}"
            in message
        )
    assert "cube a" in message
    assert "map b" in message
    shared = " x ".join(str(part.stop - part.start) for part in of_first)
    assert f"the {shared} pixels" in message
    assert shared_pixels(one, other, cut_to_overlap=True) == (of_first, of_second)


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED])
@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(("columns", "rows"), [(0.5, 0), (0, 0.5), (3.4, -2), (0, 1.02 * TOLERANCE)])
def test_fractions_of_a_pixel_apart_is_refused_cut_or_not(
    transform: Transform, cut: bool, columns: float, rows: float
) -> None:
    other = raster(moved(transform, columns=columns, rows=rows))
    with pytest.raises(InvalidInputError, match="Resample"):
        shared_pixels(raster(transform), other, cut_to_overlap=cut)


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED])
def test_rounded_georeferences_agree(transform: Transform) -> None:
    other = raster(moved(transform, columns=0.98 * TOLERANCE, rows=-0.98 * TOLERANCE))
    assert shared_pixels(raster(transform), other, cut_to_overlap=False) == (WHOLE, WHOLE)


@pytest.mark.parametrize(("beyond", "agrees"), [(0.98, True), (1.02, False)])
def test_a_pixel_size_may_be_rounded_until_the_far_corner_is_off(beyond: float, agrees: bool) -> None:
    a, b, c, d, e, f = NORTH_UP
    other = raster((a * (1 + beyond * TOLERANCE / W), b, c, d, e, f))
    if agrees:
        assert shared_pixels(raster(NORTH_UP), other, cut_to_overlap=False) == (WHOLE, WHOLE)
        return
    with pytest.raises(InvalidInputError, match="size or direction"):
        shared_pixels(raster(NORTH_UP), other, cut_to_overlap=True)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (NORTH_UP, SOUTH_UP, ("north up", "south up")),
        (NORTH_UP, (30.0, 0.0, X, 0.0, 30.0, Y - 30 * H), ("north up", "south up")),
        (NORTH_UP, ROTATED, ("north up", "rotated by 36.8699°")),
        (NORTH_UP, (15.0, 0.0, X, 0.0, -15.0, Y), ("pixel size 30 x 30", "pixel size 15 x 15")),
        (NORTH_UP, (-30.0, 0.0, X, 0.0, -30.0, Y), ("north up", "rotated by 180°, mirrored")),
    ],
)
def test_other_pixels_are_refused_cut_or_not(one: Transform, other: Transform, expected: tuple[str, str]) -> None:
    for cut in (False, True):
        with pytest.raises(InvalidInputError, match="gdalwarp -r near") as error:
            shared_pixels(raster(one), raster(other), cut_to_overlap=cut)
        assert all(words in str(error.value) for words in expected)


def test_pixels_without_a_size_to_speak_of_are_refused() -> None:
    thin = raster((1.0, 0.0, X, 0.0, -1e-303, 1e9))
    with pytest.raises(InvalidInputError, match="size or direction"):
        shared_pixels(thin, raster(NORTH_UP), cut_to_overlap=True)


def test_places_that_share_no_pixel_cannot_be_cut() -> None:
    for columns, rows in ((W, 0), (0, -H), (-1000, 7)):
        with pytest.raises(InvalidInputError, match="share no"):
            shared_pixels(raster(NORTH_UP), raster(moved(NORTH_UP, columns=columns, rows=rows)), cut_to_overlap=True)


def test_one_corner_and_other_sizes_are_cut_on_demand() -> None:
    other = raster(NORTH_UP, shape=(30, 10))
    with pytest.raises(InvalidInputError, match=r"24 x 20 pixels.*30 x 10 pixels.*24 x 10 pixels"):
        shared_pixels(raster(NORTH_UP), other, cut_to_overlap=False)
    part = (slice(0, 24), slice(0, 10))
    assert shared_pixels(raster(NORTH_UP), other, cut_to_overlap=True) == (part, part)


@pytest.mark.parametrize("crs", [UTM, ESRI_UTM, "+proj=utm +zone=33 +datum=WGS84 +units=m +no_defs"])
def test_one_reference_system_is_the_same_however_it_is_written(
    crs: str, package_log: pytest.LogCaptureFixture
) -> None:
    assert shared_pixels(raster(NORTH_UP), raster(NORTH_UP, crs=crs), cut_to_overlap=False) == (WHOLE, WHOLE)
    assert not package_log.records


def test_longitude_before_latitude_is_the_same_system() -> None:
    degrees = (0.00027, 0.0, 13.2, 0.0, -0.00027, 52.5)
    one, other = raster(degrees, crs="EPSG:4326"), raster(degrees, crs="OGC:CRS84")
    assert shared_pixels(one, other, cut_to_overlap=False) == (WHOLE, WHOLE)


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:25833", "EPSG:4326", 'LOCAL_CS["site",UNIT["metre",1]]'])
def test_other_reference_systems_are_refused_cut_or_not(crs: str) -> None:
    for cut in (False, True):
        with pytest.raises(InvalidInputError, match=r"EPSG:32633,.*Reproject") as error:
            shared_pixels(raster(NORTH_UP), raster(NORTH_UP, crs=crs), cut_to_overlap=cut)
        assert ("site" if "site" in crs else crs) in str(error.value)


def test_a_missing_reference_system_is_taken_as_the_other_s_and_reported(
    package_log: pytest.LogCaptureFixture,
) -> None:
    silent = raster(NORTH_UP, crs=None, what="map b")
    assert shared_pixels(raster(NORTH_UP), silent, cut_to_overlap=False) == (WHOLE, WHOLE)
    (message,) = package_log.messages
    assert message.startswith("map b ")
    assert message.endswith(UTM)
    with pytest.raises(InvalidInputError, match="reference system"):
        shared_pixels(raster(moved(NORTH_UP, columns=1, rows=0)), silent, cut_to_overlap=False)


@pytest.mark.parametrize("first_is_told", [True, False])
def test_one_file_without_a_place_is_allowed_and_reported(
    first_is_told: bool, package_log: pytest.LogCaptureFixture
) -> None:
    placed, silent = raster(NORTH_UP, what="cube a"), raster(None, what="map b")
    both = (placed, silent) if first_is_told else (silent, placed)
    assert shared_pixels(*both, cut_to_overlap=False) == (WHOLE, WHOLE)
    (message,) = package_log.messages
    assert re.findall(r"map b|cube a|\(380952\.37, 5820372\.35\)", message) == [
        "map b",
        "cube a",
        "(380952.37, 5820372.35)",
    ]


def test_two_files_without_a_place_are_nothing_to_report(package_log: pytest.LogCaptureFixture) -> None:
    assert shared_pixels(raster(None), raster(None), cut_to_overlap=False) == (WHOLE, WHOLE)
    assert not package_log.records


def read(cube: Path, labels: Path, **changes: object) -> Scene:
    return read_scene(cube, labels=labels, class_names=("soil", "grass", "roof"), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED])
def test_cube_and_labels_of_one_place_are_read_and_of_another_cut(tmp_path: Path, transform: Transform) -> None:
    cube = write_tif(tmp_path / "cube.tif", CUBE, transform)
    same = write_tif(tmp_path / "same.tif", LABELS.astype(np.uint8), transform)
    np.testing.assert_array_equal(read(cube, same).labels, LABELS)
    apart = write_tif(tmp_path / "apart.tif", LABELS.astype(np.uint8), moved(transform, columns=5, rows=-2))
    with pytest.raises(InvalidInputError, match=r"cube\.tif.*apart\.tif"):
        read(cube, apart)
    scene = read(cube, apart, cut_to_overlap=True)
    np.testing.assert_array_equal(scene.cube, CUBE[:22, 5:])
    np.testing.assert_array_equal(scene.labels, LABELS[2:, :15])
    assert scene.footprint == Footprint(parent="cube", rows=(0, 22), columns=(5, 20))
    assert scene.georeference == Georeference(transform=moved(transform, columns=5, rows=0), crs=UTM)


def envi(path: Path, array: np.ndarray, map_info: str) -> Path:
    array = np.atleast_3d(array)
    path.with_suffix(".img").write_bytes(np.ascontiguousarray(array.transpose(2, 0, 1)).tobytes())
    path.write_text(
        f"ENVI\nsamples = {array.shape[1]}\nlines = {array.shape[0]}\nbands = {array.shape[2]}\nheader offset = 0\n"
        f"data type = {2 if array.dtype == np.int16 else 1}\ninterleave = bsq\nbyte order = 0\n{map_info}\n"
    )
    return path


@pytest.mark.parametrize(
    ("map_info", "agrees"),
    [
        (f"map info = {{UTM, 1, 1, {X}, {Y}, 30, 30, 33, North, WGS-84, units=Meters}}", True),
        (f"map info = {{UTM, 1.5, 1.5, {X + 15}, {Y - 15}, 30, 30, 33, North, WGS-84}}", True),
        (
            f"map info = {{UTM, 1, 1, {X}, {Y}, 30, 30, 33, North, WGS-84}}\ncoordinate system string = {{{ESRI_UTM}}}",
            True,
        ),
        (f"map info = {{UTM, 1.5, 1.5, {X}, {Y}, 30, 30, 33, North, WGS-84}}", False),
        (f"map info = {{UTM, 1, 1, {X}, {Y}, 30, 30, 32, North, WGS-84}}", False),
        (f"map info = {{UTM, 1, 1, {X}, {Y}, 30, 30, 33, North, WGS-84, rotation=30}}", False),
        (f"map info = {{UTM, 1, 1, {X}, {Y}, 20, 20, 33, North, WGS-84}}", False),
    ],
)
def test_envi_s_map_info_is_a_place(tmp_path: Path, map_info: str, agrees: bool) -> None:
    cube = write_tif(tmp_path / "cube.tif", CUBE, NORTH_UP)
    labels = envi(tmp_path / "gt.hdr", LABELS.astype(np.uint8), map_info)
    if agrees:
        np.testing.assert_array_equal(read(cube, labels).labels, LABELS)
    else:
        with pytest.raises(InvalidInputError, match="same pixels"):
            read(cube, labels)


def test_envi_s_arbitrary_pixels_are_no_place(tmp_path: Path, package_log: pytest.LogCaptureFixture) -> None:
    labels = envi(tmp_path / "gt.hdr", LABELS.astype(np.uint8), "map info = {Arbitrary, 1, 1, 0, 0, 1, 1, 0, North}")
    assert georeference_of(labels) is None
    read(write_tif(tmp_path / "cube.tif", CUBE, NORTH_UP), labels)
    assert "gt.hdr" in package_log.text


def test_the_package_s_own_files_keep_their_place(tmp_path: Path, tiny_scene: Scene) -> None:
    place = Georeference(transform=ROTATED, crs=UTM)
    scene = Scene(
        name="s", cube=tiny_scene.cube, labels=tiny_scene.labels, class_names=("a", "b", "c"), georeference=place
    )
    for format, name in (("npz", "s.npz"), ("mat", "s.mat"), ("geotiff", "s.tif")):
        export_scene(scene, tmp_path / name, format)
        for shift in (0, 4):
            there = Georeference(transform=moved(ROTATED, columns=shift, rows=0), crs=UTM)
            export_labels(scene.labels, tmp_path / f"gt{shift}.tif", "geotiff", georeference=there)
        assert read(tmp_path / name, tmp_path / "gt0.tif").shape == scene.shape
        with pytest.raises(InvalidInputError, match=r"\b0 rows and 4 columns"):
            read(tmp_path / name, tmp_path / "gt4.tif")
        assert read(tmp_path / name, tmp_path / "gt4.tif", cut_to_overlap=True).shape == (40, 26)


def test_a_world_file_next_to_a_picture_is_a_place(tmp_path: Path, package_log: pytest.LogCaptureFixture) -> None:
    cube = write_tif(tmp_path / "cube.tif", CUBE, NORTH_UP)
    Image.fromarray(LABELS.astype(np.uint8)).save(tmp_path / "gt.png")
    assert georeference_of(tmp_path / "gt.png") is None
    read(cube, tmp_path / "gt.png")
    assert "gt.png" in package_log.text
    # A world file has the centre of the first pixel, and no reference system.
    (tmp_path / "gt.pgw").write_text(f"30\n0\n0\n-30\n{X + 15 + 150}\n{Y - 15}\n")
    assert georeference_of(tmp_path / "gt.png") == Georeference(transform=moved(NORTH_UP, columns=5, rows=0))
    with pytest.raises(InvalidInputError, match=r"\b0 rows and 5 columns"):
        read(cube, tmp_path / "gt.png")


def test_a_label_map_is_brought_to_the_pixels_of_a_scene_that_stays_whole() -> None:
    scene = UnlabelledScene(
        name="s", cube=CUBE.astype(np.float32), georeference=Georeference(transform=NORTH_UP, crs=UTM)
    )
    place = Georeference(transform=moved(NORTH_UP, columns=15, rows=-4), crs=UTM)
    labels = np.arange(1, 31 * 11 + 1).reshape(31, 11)
    with pytest.raises(InvalidInputError, match=r"m\.tif.*24 x 5 pixels"):
        place_labels(labels, place, what="mask m.tif", on=scene, cut_to_overlap=False)
    placed = place_labels(labels, place, what="mask m.tif", on=scene, cut_to_overlap=True)
    expected = np.zeros((H, W), dtype=int)
    expected[:, 15:] = labels[4:28, :5]
    np.testing.assert_array_equal(placed, expected)
    assert place_labels(LABELS, scene.georeference, what="m", on=scene, cut_to_overlap=False) is LABELS
    assert place_labels(labels, None, what="m", on=scene, cut_to_overlap=True) is labels  # the reader checks its shape


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED])
def test_a_part_is_where_it_is_cut_from(transform: Transform) -> None:
    part = cut_georeference(Georeference(transform=transform, crs=UTM), (slice(3, 9), slice(7, 8)))
    assert part == Georeference(transform=moved(transform, columns=7, rows=3), crs=UTM)
    assert cut_georeference(None, WHOLE) is None


def test_a_part_of_a_masked_scene_keeps_its_part_of_the_mask() -> None:
    mask = np.random.default_rng(0).random((6, 5)) < 0.5
    whole = Footprint(parent="s", rows=(10, 16), columns=(3, 8), mask=mask_as_text(mask))
    part = cut_footprint(whole, (slice(1, 5), slice(2, 4)))
    assert (part.parent, part.rows, part.columns) == ("s", (11, 15), (5, 7))
    assert part.mask is not None
    np.testing.assert_array_equal(mask_from_text(part.mask, (4, 2)), mask[1:5, 2:4])
    assert cut_footprint(whole, (slice(0, 6), slice(0, 5))) == whole


def test_what_is_no_picture_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(InvalidInputError, match=r"a\.png"):
        georeference_of(tmp_path / "a.png")


def test_without_rasterio_a_picture_has_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(LABELS.astype(np.uint8)).save(tmp_path / "gt.png")
    (tmp_path / "gt.pgw").write_text(f"30\n0\n0\n-30\n{X}\n{Y}\n")
    assert georeference_of(tmp_path / "gt.png") is not None
    monkeypatch.setitem(sys.modules, "rasterio", None)
    assert georeference_of(tmp_path / "gt.png") is None
