"""Scenes a user has described, read from their files."""

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sceneshift.catalogue import load as catalogue_module
from sceneshift.catalogue.load import find_files, load_both_labelled, load_pair, load_scene
from sceneshift.catalogue.pair_spec import InScene, NamedPair
from sceneshift.catalogue.user_entries import OwnCatalogue
from sceneshift.catalogue.user_toml import read_catalogue
from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.files.arrow_scenes import write_scene
from sceneshift.files.scenes import export_labels, export_scene
from sceneshift.scenes.scene import Footprint, Georeference, Scene, UnlabelledScene
from sceneshift.training.data import DataSpec


@pytest.fixture(autouse=True)
def warnings_are_told_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("SCENESHIFT_DATA", raising=False)
    catalogue_module._warn_once.cache_clear()
    yield
    catalogue_module._warn_once.cache_clear()


@pytest.fixture
def described(tmp_path: Path, tiny_scene: Scene, make_scene: Callable[..., Scene]) -> Callable[[str], OwnCatalogue]:
    """Describe scenes next to files of the tiny one: a cube (also in data/) and labels, ``all.npz``, ``all.arrow``."""
    (tmp_path / "data" / "MINE").mkdir(parents=True)
    np.save(tmp_path / "cube.npy", tiny_scene.cube)
    np.save(tmp_path / "labels.npy", tiny_scene.labels)
    np.save(tmp_path / "data" / "elsewhere.npy", tiny_scene.cube + 1)
    np.save(tmp_path / "data" / "second.npy", make_scene(1).cube)
    np.save(tmp_path / "data" / "MINE" / "own.npy", tiny_scene.cube + 2)
    export_scene(tiny_scene, tmp_path / "all.npz", "npz")
    write_scene(tiny_scene, tmp_path / "all.arrow")

    def describe(text: str) -> OwnCatalogue:
        (tmp_path / "scenes.toml").write_text(text)
        return read_catalogue(tmp_path / "scenes.toml")

    return describe


NAMES = 'class_names = ["soil", "tree", "water"]\n'
MINE = '[scenes.mine]\ncube = "cube.npy"\nlabels = "labels.npy"\n' + NAMES


def test_cube_and_labels_of_two_files(described: Callable[[str], OwnCatalogue], tiny_scene: Scene) -> None:
    scene = load_scene("mine", catalogue=described(MINE))
    np.testing.assert_array_equal(scene.cube, tiny_scene.cube)
    np.testing.assert_array_equal(scene.labels, tiny_scene.labels)
    assert (scene.name, scene.class_names) == ("mine", ("soil", "tree", "water"))
    assert scene.footprint == Footprint(parent="mine", rows=(0, 40), columns=(0, 30))


@pytest.mark.parametrize(("file", "added"), [("elsewhere.npy", 1), ("own.npy", 2)])
def test_files_may_be_in_the_data_folder_or_the_scene_s_there(
    described: Callable[[str], OwnCatalogue], tiny_scene: Scene, tmp_path: Path, file: str, added: int
) -> None:
    catalogue = described(MINE.replace("cube.npy", file))
    scene = load_scene("mine", str(tmp_path / "data"), catalogue=catalogue)
    np.testing.assert_array_equal(scene.cube, tiny_scene.cube + added)
    with pytest.raises(MissingDataError, match=rf"scenes\.toml.*\[scenes\.mine\].*'{file}'"):
        load_scene("mine", catalogue=catalogue)


def test_a_path_may_be_absolute(described: Callable[[str], OwnCatalogue], tiny_scene: Scene, tmp_path: Path) -> None:
    catalogue = described(MINE.replace("cube.npy", str(tmp_path / "data" / "elsewhere.npy")))
    np.testing.assert_array_equal(load_scene("mine", catalogue=catalogue).cube, tiny_scene.cube + 1)


def test_the_map_s_numbers_become_class_ids(
    described: Callable[[str], OwnCatalogue], tiny_scene: Scene, tmp_path: Path
) -> None:
    np.save(tmp_path / "labels.npy", np.array([99, 7, 3, 40])[tiny_scene.labels])
    catalogue = described(MINE + "label_values = [7, 3, 40]\nunlabelled_values = [99]\n")
    np.testing.assert_array_equal(load_scene("mine", catalogue=catalogue).labels, tiny_scene.labels)
    with pytest.raises(InvalidInputError) as error:
        load_scene("mine", catalogue=described(MINE + "label_values = [7, 3, 41]\nunlabelled_values = [99]\n"))
    assert str(error.value).startswith(f"{tmp_path}/scenes.toml, [scenes.mine]: {tmp_path}/labels.npy: ")
    assert "[40]" in str(error.value)
    with pytest.raises(InvalidInputError, match=r"\[scenes\.mine\].*3.*99.*0.*\(unlabelled\)"):
        load_scene("mine", catalogue=described(MINE))


def test_what_is_in_the_file_is_taken_where_the_table_says_nothing(
    described: Callable[[str], OwnCatalogue], tiny_scene: Scene
) -> None:
    scene = load_scene("mine", catalogue=described('[scenes.mine]\ncube = "all.npz"'))
    assert (scene.name, scene.class_names) == ("mine", tiny_scene.class_names)
    assert scene.footprint == replace(tiny_scene.footprint, parent="mine")  # a name in a file is not an acquisition
    with pytest.raises(InvalidInputError, match=r"\[scenes\.mine\].*cube\.npy"):
        load_scene("mine", catalogue=described(MINE.replace(NAMES, "")))


@pytest.mark.parametrize("files", ['cube = "cube.npy"\nlabels = "labels.npy"\n' + NAMES, 'stored = "all.arrow"\n'])
def test_wavelengths_are_one_a_band(described: Callable[[str], OwnCatalogue], files: str) -> None:
    known = [400.0 + 10 * band for band in range(8)]
    text = "[scenes.mine]\n" + files
    scene = load_scene("mine", catalogue=described(f"{text}wavelengths_nm = {known}"))
    assert scene.wavelengths_nm.tolist() == known
    with pytest.raises(InvalidInputError, match=r"\[scenes\.mine\].*8 bands"):
        load_scene("mine", catalogue=described(f"{text}wavelengths_nm = {known[1:]}"))


def test_a_stored_scene_takes_names_of_the_table(described: Callable[[str], OwnCatalogue], tiny_scene: Scene) -> None:
    stored = '[scenes.mine]\nstored = "all.arrow"\n'
    scene = load_scene("mine", catalogue=described(stored))
    assert (scene.name, scene.class_names) == ("mine", tiny_scene.class_names)
    assert scene.footprint == replace(tiny_scene.footprint, parent="mine")
    scene = load_scene("mine", catalogue=described(stored + 'class_names = ["a", "b", "c"]'))
    assert scene.class_names == ("a", "b", "c")
    np.testing.assert_array_equal(scene.labels, tiny_scene.labels)
    with pytest.raises(InvalidInputError, match=r"\[scenes\.mine\].*class_names.*2.*3 classes"):
        load_scene("mine", catalogue=described(stored + 'class_names = ["a", "b"]'))


@pytest.mark.parametrize("files", ['cube = "cube.npy"\nlabels = "labels.npy"\n' + NAMES, 'stored = "all.arrow"\n'])
def test_other_counts_than_expected_are_another_release(
    described: Callable[[str], OwnCatalogue], files: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        load_scene("mine", catalogue=described(f"[scenes.mine]\n{files}pixels_per_class = [256, 256, 256]"))
        assert caplog.messages == []
        load_scene("mine", catalogue=described(f"[scenes.mine]\n{files}pixels_per_class = [256, 255, 256]"))
    (message,) = caplog.messages
    assert re.search(
        r"\(256, 256, 256\) \(768 .*\[scenes\.mine\], pixels_per_class .*\(256, 255, 256\) \(767\)", message
    )


@pytest.mark.parametrize("files", ['cube = "cube.npy"\nlabels = "labels.npy"\n' + NAMES, 'stored = "all.arrow"\n'])
def test_a_scale_divides_and_a_unit_is_reported(
    described: Callable[[str], OwnCatalogue], tiny_scene: Scene, files: str
) -> None:
    text = "[scenes.mine]\n" + files
    scene = load_scene("mine", catalogue=described(text))
    assert (scene.unit, scene.content_hash) == (None, tiny_scene.content_hash)
    scene = load_scene("mine", catalogue=described(text + 'unit = "counts"'))
    assert (scene.unit, scene.content_hash) == ("counts", tiny_scene.content_hash)
    scene = load_scene("mine", catalogue=described(text + 'unit = "reflectance"\nscale = 4'))
    assert (scene.unit, scene.cube.dtype) == ("reflectance", np.float32)
    np.testing.assert_array_equal(scene.cube, tiny_scene.cube / np.float32(4))


@pytest.mark.parametrize("files", ['cube = "all.npz"\n', 'stored = "all.arrow"\n'])
def test_numbers_that_state_their_unit_keep_it_and_are_not_divided_again(
    described: Callable[[str], OwnCatalogue], tiny_scene: Scene, tmp_path: Path, files: str
) -> None:
    stated = replace(tiny_scene, unit="reflectance")
    export_scene(stated, tmp_path / "all.npz", "npz")
    write_scene(stated, tmp_path / "all.arrow")
    text = "[scenes.mine]\n" + files
    assert load_scene("mine", catalogue=described(text)).unit == "reflectance"
    assert load_scene("mine", catalogue=described(text + 'unit = "albedo"')).unit == "albedo"
    with pytest.raises(InvalidInputError, match=r"\[scenes\.mine\]: .*got scale = 4"):
        load_scene("mine", catalogue=described(text + 'unit = "reflectance"\nscale = 4'))


def test_a_broken_file_is_reported_with_the_table(described: Callable[[str], OwnCatalogue], tmp_path: Path) -> None:
    catalogue = described(MINE)
    (tmp_path / "cube.npy").write_bytes(b"nothing")
    with pytest.raises(InvalidInputError, match=r"scenes\.toml.*\[scenes\.mine\].*cube\.npy"):
        load_scene("mine", catalogue=catalogue)


PAIR = '[pairs.mine-other]\nsource = "mine"\ntarget = "other"\n'
OTHER = '[scenes.other]\ncube = "data/second.npy"\nlabels = "labels.npy"\nclass_names = ["tree", "dirt", "lake"]\n'


def test_classes_of_a_pair_are_matched_as_the_table_says(
    described: Callable[[str], OwnCatalogue], tiny_scene: Scene
) -> None:
    catalogue = described(MINE + OTHER + PAIR + 'class_map = { soil = ["dirt", "tree"], water = "lake" }')
    recipe = NamedPair(name="mine-other", catalogue=catalogue)
    pair = load_pair(recipe)
    assert type(pair.target) is UnlabelledScene
    assert pair.class_names == ("soil", "water")
    assert ["mine", "tree"] in [re.findall("mine|other|tree|dirt|soil", note) for note in pair.notes]
    (source,), target = load_both_labelled(recipe)
    np.testing.assert_array_equal(source.labels, np.array([0, 1, 0, 2])[tiny_scene.labels])
    np.testing.assert_array_equal(target.labels, np.array([0, 1, 1, 2])[tiny_scene.labels])


def test_a_pair_that_cannot_be_aligned_is_reported_with_its_table(
    described: Callable[[str], OwnCatalogue], tmp_path: Path
) -> None:
    np.save(tmp_path / "data" / "second.npy", np.ones((40, 30, 5)))
    catalogue = described(MINE + OTHER + PAIR + 'class_map = { soil = "dirt", water = "lake" }')
    with pytest.raises(InvalidInputError, match=r"scenes\.toml.*\[pairs\.mine-other\].*'mine'.*8 bands"):
        load_pair(NamedPair(name="mine-other", catalogue=catalogue))


def test_two_scenes_of_one_cube_are_no_pair(described: Callable[[str], OwnCatalogue]) -> None:
    catalogue = described(MINE + MINE.replace("[scenes.mine]", "[scenes.other]") + PAIR)
    with pytest.raises(InvalidInputError, match="'mine'"):
        load_pair(NamedPair(name="mine-other", catalogue=catalogue))


def in_another_file(folder: Path, scene: Scene, how: str) -> str:
    """A table [scenes.other] for a copy of a scene, or part of one, in another file."""
    cube, noise = scene.cube, np.random.default_rng(2).normal(0, 1e-3, scene.cube.shape)
    changed = {
        "npy": cube,
        "scaled": cube / 3,
        "scaled by its own extremes": (cube - cube.min()) / (cube.max() - cube.min()),
        "each band by its own extremes": (cube - cube.min((0, 1))) / (cube.max((0, 1)) - cube.min((0, 1))),
        "whole numbers": np.round(10_000 * cube),
        "noisy": cube + noise,
        "cut": cube[15:, 5:],
        "mirrored": cube[::-1],
        "npz": cube,
        "arrow": cube,
        "first bands": cube[..., :5],
    }[how]
    bands = changed.shape[2]
    stored = Scene(
        name="quite another name",
        cube=np.ascontiguousarray(changed, dtype=np.float32),
        labels={"cut": scene.labels[15:, 5:], "mirrored": scene.labels[::-1]}.get(how, scene.labels),
        class_names=scene.class_names,
    )
    nm = f"wavelengths_nm = {list(range(400, 400 + 10 * bands, 10))}\n"
    if how == "arrow":
        write_scene(stored, folder / "copy.arrow")
        return f'[scenes.other]\nstored = "copy.arrow"\n{nm}'
    if how == "npz":
        export_scene(stored, folder / "copy.npz", "npz")
        return f'[scenes.other]\ncube = "copy.npz"\n{nm}'
    np.save(folder / "copy.npy", stored.cube)
    np.save(folder / "copy_labels.npy", stored.labels)
    return f'[scenes.other]\ncube = "copy.npy"\nlabels = "copy_labels.npy"\n{NAMES}{nm}'


@pytest.mark.parametrize(
    "how",
    [
        *("npy", "npz", "arrow", "scaled", "scaled by its own extremes", "each band by its own extremes"),
        *("whole numbers", "noisy", "cut", "mirrored", "first bands"),
    ],
)
def test_two_files_of_one_acquisition_are_no_pair_whatever_they_are_called(
    described: Callable[[str], OwnCatalogue], tiny_scene: Scene, tmp_path: Path, how: str
) -> None:
    mine = MINE + f"wavelengths_nm = {list(range(400, 480, 10))}\n"
    catalogue = described(mine + in_another_file(tmp_path, tiny_scene, how) + PAIR)
    with pytest.raises(InvalidInputError, match=r"'mine'.*'other'"):
        load_pair(NamedPair(name="mine-other", catalogue=catalogue))


def test_two_acquisitions_in_files_of_one_name_are_a_pair(
    described: Callable[[str], OwnCatalogue], make_scene: Callable[..., Scene], tmp_path: Path
) -> None:
    for year, seed in (("2019", 0), ("2020", 1)):
        (tmp_path / year).mkdir()
        write_scene(make_scene(seed, name="scene"), tmp_path / year / "scene.arrow")
    sides = '[scenes.mine]\nstored = "2019/scene.arrow"\n[scenes.other]\nstored = "2020/scene.arrow"\n'
    pair = load_pair(NamedPair(name="mine-other", catalogue=described(sides + PAIR)))
    assert (pair.source.footprint.parent, pair.target.footprint.parent) == ("mine", "other")
    sides = '[scenes.mine]\nstored = "2019/scene.arrow"\n[scenes.other]\nstored = "./2019/scene.arrow"\n'
    with pytest.raises(InvalidInputError, match="'mine'"):
        load_pair(NamedPair(name="mine-other", catalogue=described(sides + PAIR)))


def test_the_source_of_one_pair_in_the_target_of_another_is_refused_by_content(
    described: Callable[[str], OwnCatalogue], make_scene: Callable[..., Scene], tmp_path: Path
) -> None:
    for name, seed in (("a", 0), ("b", 1), ("c", 2)):
        write_scene(make_scene(seed, name=name), tmp_path / f"{name}.arrow")
    write_scene(make_scene(1, name="copy"), tmp_path / "d.arrow")
    text = "".join(f'[scenes.{name}]\nstored = "{name}.arrow"\n' for name in "abcd")
    text += "".join(f'[pairs.{p}]\nsource = "{p[0]}"\ntarget = "{p[1]}"\n' for p in ("ab", "cd", "dc"))
    described(text)
    named = {"catalogue": str(tmp_path / "scenes.toml"), "patch_size": 3, "split": "random"}
    assert len(DataSpec(pairs=("ab", "cd"), **named).load().pairs) == 2
    with pytest.raises(InvalidInputError, match=r"'dc with ab'.*'d'.*'b'"):
        DataSpec(pairs=("ab", "dc"), **named).load()


def test_an_own_scene_can_be_paired_with_the_embedded_one(
    described: Callable[[str], OwnCatalogue], tmp_path: Path
) -> None:
    np.save(tmp_path / "cube.npy", np.ones((40, 30, 200), dtype=np.float32))
    text = MINE + '[pairs.home]\nsource = "mine"\ntarget = "indian_pines"\n'
    catalogue = described(text + 'class_map = { soil = "Corn", tree = ["Woods", "Wheat"] }')
    (source,), target = load_both_labelled(NamedPair(name="home", catalogue=catalogue))
    assert source.class_names == target.class_names == ("soil", "tree")
    assert target.class_counts.tolist() == [237, 1265 + 205]


def test_files_are_found_without_being_read(described: Callable[[str], OwnCatalogue], tmp_path: Path) -> None:
    catalogue = described(MINE)
    found = find_files("mine", None, catalogue=catalogue)
    assert found == {"cube": tmp_path / "cube.npy", "labels": tmp_path / "labels.npy"}
    assert find_files("indian_pines", None) == {}
    with pytest.raises(InvalidInputError, match=r"'mien'.*'mine'"):
        find_files("mien", None, catalogue=catalogue)


def test_an_own_scene_is_divided_by_masks_that_are_given(
    described: Callable[[str], OwnCatalogue], tiny_scene: Scene, tmp_path: Path
) -> None:
    rows = np.arange(40)[:, None] < 20
    np.save(tmp_path / "train.npy", np.where(rows, tiny_scene.labels, 0))
    np.save(tmp_path / "test.npy", np.where(rows, 0, tiny_scene.labels))
    masks = {"train_mask": str(tmp_path / "train.npy"), "test_mask": str(tmp_path / "test.npy")}
    pair = load_pair(InScene(scene="mine", split="fixed", patch_size=3, seed=0, catalogue=described(MINE), **masks))
    np.testing.assert_array_equal(pair.source.labels, np.where(rows, tiny_scene.labels, 0))


@pytest.mark.parametrize("cut", [False, True])
def test_cube_and_labels_that_are_apart_are_refused_or_cut_as_the_table_says(
    described: Callable[[str], OwnCatalogue], tiny_scene: Scene, tmp_path: Path, cut: bool
) -> None:
    pytest.importorskip("rasterio")
    place = Georeference(transform=(30, 0, 1000, 0, -30, 2000), crs="EPSG:32633")
    apart = Georeference(transform=(30, 0, 1030, 0, -30, 2060), crs="EPSG:32633")
    cube = np.random.default_rng(5).random(tiny_scene.cube.shape, dtype=np.float32)
    export_scene(replace(tiny_scene, cube=cube, georeference=place), tmp_path / "place.tif", "geotiff")
    export_labels(tiny_scene.labels, tmp_path / "apart.tif", "geotiff", georeference=apart)
    text = '[scenes.mine]\ncube = "place.tif"\nlabels = "apart.tif"\n' + NAMES
    other = '[scenes.other]\ncube = "data/elsewhere.npy"\nlabels = "labels.npy"\n' + NAMES
    pair = '[pairs.two]\nsource = "mine"\ntarget = "other"\n'
    if not cut:
        catalogue = described(text + "cut_to_overlap = false\n" + other + pair)
        for load in (lambda: load_scene("mine", catalogue=catalogue), lambda: load_pair(two(catalogue))):
            with pytest.raises(
                InvalidInputError, match=r"\[scenes\.mine\]: cube .*origin \(1000, 2000\).*origin \(1030, 2060\).*cut_"
            ):
                load()
        return
    catalogue = described(text + "cut_to_overlap = true\n" + other + pair)
    scene = load_scene("mine", catalogue=catalogue)
    np.testing.assert_array_equal(scene.cube, cube[:38, 1:])
    np.testing.assert_array_equal(scene.labels, tiny_scene.labels[2:, :29])
    np.testing.assert_array_equal(load_pair(two(catalogue)).source.labels, scene.labels)
    assert catalogue.scene_hash("mine") != described(text).scene_hash("mine")


def two(catalogue: OwnCatalogue) -> NamedPair:
    return NamedPair(name="two", catalogue=catalogue)


def test_masks_are_compared_with_the_scene_s_place(
    described: Callable[[str], OwnCatalogue], tiny_scene: Scene, tmp_path: Path
) -> None:
    pytest.importorskip("rasterio")
    scene = replace(tiny_scene, georeference=Georeference(transform=(30, 0, 1000, 0, -30, 2000), crs="EPSG:32633"))
    write_scene(scene, tmp_path / "place.arrow")
    rows = np.arange(40)[:, None] < 20
    masks = {}
    for side, labels in (
        ("train", np.where(rows, tiny_scene.labels, 0)),
        ("test", np.where(rows, 0, tiny_scene.labels)),
    ):
        masks[f"{side}_mask"] = str(tmp_path / f"{side}.tif")
        # Cut from a larger map: two rows up, one column to the right.
        apart = Georeference(transform=(30, 0, 1030, 0, -30, 2060), crs="EPSG:32633")
        larger = np.zeros((45, 32), dtype=np.uint8)
        larger[2:42, :29] = labels[:, 1:]
        export_labels(larger, masks[f"{side}_mask"], "geotiff", georeference=apart)
    recipe = InScene(scene=str(tmp_path / "place.arrow"), split="fixed", patch_size=3, seed=0, **masks)
    with pytest.raises(InvalidInputError, match=r"'tiny'.*train\.tif.*40 x 29 pixels"):
        load_pair(recipe)
    (source,), target = load_both_labelled(replace(recipe, cut_to_overlap=True))
    np.testing.assert_array_equal(source.labels[:, 1:], np.where(rows, tiny_scene.labels, 0)[:, 1:])
    np.testing.assert_array_equal(target.labels[:, 1:], np.where(rows, 0, tiny_scene.labels)[:, 1:])
    assert (source.shape, int(source.labels[:, 0].sum())) == ((40, 30), 0)


@pytest.mark.parametrize(("scale", "expected"), [(10_000, ""), (100, "10000")])
def test_a_scale_of_file_and_table_divides_once(
    described: Callable[[str], OwnCatalogue], tiny_scene: Scene, tmp_path: Path, scale: float, expected: str
) -> None:
    pytest.importorskip("rasterio")
    export_scene(replace(tiny_scene, cube=tiny_scene.cube * 10_000), tmp_path / "counts.hdr", "envi")
    with (tmp_path / "counts.hdr").open("a") as header:
        header.write("reflectance scale factor = 10000\n")
    text = '[scenes.mine]\ncube = "counts.hdr"\nlabels = "labels.npy"\n' + NAMES
    for more in ("", f'scale = {scale}\nunit = "reflectance"\n'):
        if more and expected:
            with pytest.raises(
                InvalidInputError, match=rf"\[scenes\.mine\]: .*counts\.hdr: got scale = 100.*{expected}"
            ):
                load_scene("mine", catalogue=described(text + more))
            continue
        scene = load_scene("mine", catalogue=described(text + more))
        np.testing.assert_allclose(scene.cube, tiny_scene.cube, rtol=1e-5)
        assert scene.unit == "reflectance"
