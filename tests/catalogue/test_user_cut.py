"""Cuts of a user's scene: the pixels, what goes with them, and which cuts may be a pair."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sceneshift.catalogue.load import find_files, load_both_labelled, load_pair, load_scene
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.catalogue.user_entries import OwnCatalogue
from sceneshift.catalogue.user_toml import read_catalogue
from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.files.arrow_scenes import open_scene, write_scene
from sceneshift.files.scenes import export_labels, export_scene, read_scene
from sceneshift.scenes.scene import Footprint, Georeference, Scene, mask_as_text, mask_from_text

WHOLE = Georeference(transform=(30, 0, 1000, 0, -30, 5000), crs="EPSG:32633")
PAIR = '[pairs.halves]\nsource = "one"\ntarget = "two"\n'
FILES = ['cube = "all.npz"', 'stored = "all.arrow"']


@pytest.fixture
def described(tmp_path: Path, tiny_scene: Scene) -> Callable[..., OwnCatalogue]:
    """Describe the scenes ``one`` and ``two`` as parts of the tiny one (40 x 30), and the pair ``halves``."""
    scene = replace(tiny_scene, georeference=WHOLE)
    export_scene(scene, tmp_path / "all.npz", "npz")
    write_scene(scene, tmp_path / "all.arrow")
    left = np.zeros((40, 30), dtype=np.uint8)
    left[:, :12] = 1
    left[:20, 12:15] = 7
    np.save(tmp_path / "left.npy", left)
    np.save(tmp_path / "right.npy", left == 0)
    np.save(tmp_path / "nothing.npy", np.zeros((40, 30), dtype=bool))

    def describe(one: str, two: str = "rows = [0, 9]", files: str = FILES[0]) -> OwnCatalogue:
        text = f"[scenes.one]\n{files}\n{one}\n[scenes.two]\n{files}\n{two}\n{PAIR}"
        (tmp_path / "scenes.toml").write_text(text)
        return read_catalogue(tmp_path / "scenes.toml")

    return describe


@pytest.mark.parametrize("files", FILES)
@pytest.mark.parametrize(
    ("cut", "rows", "columns"),
    [
        ("rows = [5, 25]", (5, 25), (0, 30)),
        ("columns = [3, 30]", (0, 40), (3, 30)),
        ("rows = [39, 40]\ncolumns = [0, 2]", (39, 40), (0, 2)),
    ],
)
def test_rows_and_columns_are_cut_with_all_that_goes_with_them(
    described: Callable[..., OwnCatalogue],
    tiny_scene: Scene,
    files: str,
    cut: str,
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> None:
    scene = load_scene("one", catalogue=described(cut, files=files))
    place = slice(*rows), slice(*columns)
    np.testing.assert_array_equal(scene.cube, tiny_scene.cube[place])
    np.testing.assert_array_equal(scene.labels, tiny_scene.labels[place])
    assert scene.footprint == Footprint(parent="one", rows=rows, columns=columns)
    assert scene.georeference.transform == (30, 0, 1000 + 30 * columns[0], 0, -30, 5000 - 30 * rows[0])
    assert scene.georeference.crs == "EPSG:32633"
    assert scene.cube.base is None or scene.cube.base.nbytes <= scene.cube.nbytes  # nothing of the rest is behind it


def test_a_mask_leaves_nothing_of_what_is_outside(
    described: Callable[..., OwnCatalogue], tiny_scene: Scene, tmp_path: Path
) -> None:
    catalogue = described('mask = "left.npy"', 'rows = [10, 40]\nmask = "right.npy"')
    assert find_files("one", None, catalogue=catalogue)["mask"] == tmp_path / "left.npy"
    left = np.load(tmp_path / "left.npy") > 0
    for name, kept, rows, columns in (("one", left, (0, 40), (0, 15)), ("two", ~left, (10, 40), (12, 30))):
        scene, place = load_scene(name, catalogue=catalogue), (slice(*rows), slice(*columns))
        np.testing.assert_array_equal(scene.cube, np.where(kept[..., None], tiny_scene.cube, 0)[place])
        np.testing.assert_array_equal(scene.labels, np.where(kept, tiny_scene.labels, 0)[place])
        assert (scene.footprint.rows, scene.footprint.columns) == (rows, columns)
        np.testing.assert_array_equal(mask_from_text(scene.footprint.mask, scene.shape), kept[place])


def test_a_mask_of_another_place_is_refused_or_cut(
    described: Callable[..., OwnCatalogue], tiny_scene: Scene, tmp_path: Path
) -> None:
    pytest.importorskip("rasterio")
    apart = replace(WHOLE, transform=(30, 0, 1000 + 30 * 12, 0, -30, 5000))
    export_labels(np.ones((40, 30), dtype=np.uint8), tmp_path / "apart.tif", "geotiff", georeference=apart)
    with pytest.raises(InvalidInputError, match=r"apart\.tif"):
        load_scene("one", catalogue=described('mask = "apart.tif"'))
    scene = load_scene("one", catalogue=described('mask = "apart.tif"\ncut_to_overlap = true'))
    assert (scene.footprint.rows, scene.footprint.columns) == ((0, 40), (12, 30))
    np.testing.assert_array_equal(scene.labels, tiny_scene.labels[:, 12:])


def test_exported_masked_halves_are_still_a_pair(described: Callable[..., OwnCatalogue], tmp_path: Path) -> None:
    catalogue = described('mask = "left.npy"', 'mask = "right.npy"')
    halves = [load_scene(name, catalogue=catalogue) for name in ("one", "two")]
    for half in halves:
        export_scene(half, tmp_path / f"{half.name}.npz", "npz")
    read = [read_scene(tmp_path / f"{half.name}.npz") for half in halves]
    for half, again in zip(halves, read, strict=True):
        assert again.footprint == half.footprint
    assert not read[0].footprint.overlaps(read[1].footprint)


@pytest.mark.parametrize("files", FILES)
@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("rows = [0, 20]", "rows = [20, 40]"),
        ("columns = [15, 30]", "columns = [0, 15]"),
        ('mask = "left.npy"', 'mask = "right.npy"'),
        ('mask = "right.npy"\nrows = [5, 40]', 'mask = "left.npy"\ncolumns = [2, 30]'),
        ('mask = "left.npy"', "columns = [15, 30]"),
    ],
)
def test_two_cuts_that_do_not_meet_are_a_pair(
    described: Callable[..., OwnCatalogue], files: str, one: str, two: str
) -> None:
    recipe = NamedPair(name="halves", catalogue=described(one, two, files))
    pair = load_pair(recipe)
    (source,), target = load_both_labelled(recipe)
    assert pair.source.footprint.parent == pair.target.footprint.parent
    assert not pair.source.footprint.overlaps(pair.target.footprint)
    assert source.class_counts.min() > 0
    assert target.class_counts.min() > 0


@pytest.mark.parametrize("files", FILES)
@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("rows = [0, 21]", "rows = [20, 40]"),
        ('mask = "left.npy"', 'mask = "left.npy"'),
        ('mask = "right.npy"', "columns = [0, 15]"),  # the three columns of which the left half has only the upper part
        ("", "rows = [0, 9]"),
    ],
)
def test_two_cuts_that_share_a_pixel_are_none(
    described: Callable[..., OwnCatalogue], files: str, one: str, two: str
) -> None:
    with pytest.raises(InvalidInputError, match="'one'"):
        load_pair(NamedPair(name="halves", catalogue=described(one, two, files)))


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ("rows = [0, 41]", r"rows: got \[0, 41\].*40 rows"),
        ("columns = [30, 31]", r"columns: got \[30, 31\].*30 columns"),
        ('mask = "nothing.npy"', "mask: "),
        ('mask = "left.npy"\ncolumns = [20, 30]', "mask: "),
        ('mask = "small.npy"', r"mask: .*small\.npy.*\(3, 4\).*\(40, 30\)"),
    ],
)
def test_what_cannot_be_cut_is_reported_with_the_table(
    described: Callable[..., OwnCatalogue], tmp_path: Path, cut: str, message: str
) -> None:
    np.save(tmp_path / "small.npy", np.ones((3, 4), dtype=np.uint8))
    with pytest.raises(InvalidInputError, match=r"scenes\.toml, \[scenes\.one\]: " + message):
        load_scene("one", catalogue=described(cut))


def test_a_mask_that_is_not_there_is_missing(described: Callable[..., OwnCatalogue]) -> None:
    with pytest.raises(MissingDataError, match=r"\[scenes\.one\].*'none\.npy'"):
        load_scene("one", catalogue=described('mask = "none.npy"'))


def test_a_cut_is_stored_and_cut_again(described: Callable[..., OwnCatalogue], tmp_path: Path) -> None:
    cut = load_scene("one", catalogue=described('mask = "left.npy"\nrows = [10, 40]'))
    write_scene(cut, tmp_path / "cut.arrow")
    assert open_scene(tmp_path / "cut.arrow").footprint == cut.footprint
    again = load_scene("one", catalogue=described("rows = [5, 30]\ncolumns = [10, 15]", files='stored = "cut.arrow"'))
    assert (again.footprint.rows, again.footprint.columns) == ((15, 40), (10, 15))
    left = np.load(tmp_path / "left.npy") > 0
    np.testing.assert_array_equal(mask_from_text(again.footprint.mask, (25, 5)), left[15:, 10:15])


def test_the_documented_halves_are_a_pair(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "scenes.md").read_text()
    _, block = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "scenes.toml").write_text(block)
    catalogue = read_catalogue(tmp_path / "scenes.toml")
    west, east = catalogue.scenes["west"], catalogue.scenes["east"]
    assert west.acquisition == east.acquisition
    assert west.cut.columns[1] == east.cut.columns[0]
    assert (catalogue.pairs["west-east-campus"].source, catalogue.pairs["west-east-campus"].target) == ("west", "east")


@pytest.mark.parametrize("text", ["", "x", "AAAA", mask_as_text(np.ones((4, 4), dtype=bool))])
def test_a_broken_mask_of_a_footprint_is_an_error(text: str) -> None:
    with pytest.raises(InvalidInputError, match="footprint"):
        mask_from_text(text, (40, 30))
