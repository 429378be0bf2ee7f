"""A user's catalogue: what it may say, and what is refused with file, table, key, what was got and what to do."""

import pickle
from pathlib import Path

import pytest

from sceneshift.catalogue.pair_spec import InScene, NamedPair
from sceneshift.catalogue.user_entries import NO_CATALOGUE, OwnPair, OwnScene
from sceneshift.catalogue.user_toml import open_catalogue, read_catalogue
from sceneshift.errors import InvalidInputError, MissingDataError

SCENES_TOO = """
[scenes.one]
cube = "one.mat"
class_names = ["soil", "tree", "water"]
[scenes.two]
stored = "two.arrow"
"""


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCENESHIFT_CATALOGUE", raising=False)
    monkeypatch.delenv("SCENESHIFT_DATA", raising=False)


def write(folder: Path, text: str, name: str = "scenes.toml") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def test_all_that_can_be_said(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        SCENES_TOO
        + """
[scenes.all-of.it]
cube = "/data/cube.hdr"
cube_variable = "c"
labels = "map.png"
labels_variable = "m"
class_names = ["grass", "lawn", "roof"]
label_values = [3, 7, 1]
unlabelled_values = [255, 9]
wavelengths_nm = [400, 500.5]
pixels_per_class = [4, 0, 12]
scale = 10_000
unit = "reflectance"
[pairs.there]
source = "one"
target = "all-of.it"
class_map = { soil = ["grass", "lawn"], tree = "roof" }
fwhm_nm = [10, 12.5]
[pairs.back]
source = "two"
target = "samson"
fwhm_nm = 9
""".replace("[scenes.all-of.it]", '[scenes."all-of.it"]'),
    )
    catalogue = read_catalogue(path, found="--catalogue")
    assert list(catalogue.scenes) == ["one", "two", "all-of.it"]
    assert catalogue.scenes["all-of.it"] == OwnScene(
        name="all-of.it",
        where=f"{path}, [scenes.all-of.it]",
        folder=str(tmp_path),
        acquisition="all-of.it",
        cube="/data/cube.hdr",
        cube_variable="c",
        labels="map.png",
        labels_variable="m",
        class_names=("grass", "lawn", "roof"),
        label_values=(3, 7, 1),
        unlabelled_values=(255, 9),
        wavelengths_nm=(400.0, 500.5),
        pixels_per_class=(4, 0, 12),
        scale=10_000.0,
        unit="reflectance",
    )
    assert (catalogue.scenes["one"].scale, catalogue.scenes["one"].unit) == (1.0, None)
    assert catalogue.scenes["two"].files == {"stored": "two.arrow"}
    assert catalogue.pairs["there"] == OwnPair(
        name="there",
        where=f"{path}, [pairs.there]",
        source="one",
        target="all-of.it",
        class_matches=(("grass", "soil"), ("lawn", "soil"), ("roof", "tree")),
        fwhm_nm=(10.0, 12.5),
    )
    assert catalogue.pairs["back"].fwhm_nm == 9.0
    assert catalogue.announcement() == [f"catalogue            {path} (--catalogue)"]
    assert pickle.loads(pickle.dumps(catalogue)) == catalogue


def test_an_empty_file_describes_nothing(tmp_path: Path) -> None:
    catalogue = read_catalogue(write(tmp_path, "# later\n"))
    assert (dict(catalogue.scenes), dict(catalogue.pairs)) == ({}, {})


def test_the_flag_goes_before_the_environment_and_that_before_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag, environment = (write(tmp_path, SCENES_TOO, f"{name}.toml") for name in ("flag", "environment"))
    folder = write(tmp_path / "data", SCENES_TOO)
    assert open_catalogue(None, None) is NO_CATALOGUE
    assert open_catalogue(None, str(tmp_path)) is NO_CATALOGUE
    assert open_catalogue(None, str(tmp_path / "nowhere")) is NO_CATALOGUE
    monkeypatch.setenv("SCENESHIFT_DATA", str(tmp_path / "data"))
    found = open_catalogue(None, None)
    assert (found.path, found.found) == (str(folder), "in the data folder")
    assert open_catalogue(None, str(tmp_path)) is NO_CATALOGUE  # --data-dir names another folder
    monkeypatch.setenv("SCENESHIFT_CATALOGUE", str(environment))
    found = open_catalogue(None, str(tmp_path / "data"))
    assert (found.path, found.found) == (str(environment), "SCENESHIFT_CATALOGUE")
    found = open_catalogue(str(flag), None)
    assert (found.path, found.found) == (str(flag), "--catalogue")


def test_a_file_that_is_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingDataError, match=r"mine\.toml.*\(--catalogue\)"):
        open_catalogue(str(tmp_path / "mine.toml"), None)
    monkeypatch.setenv("SCENESHIFT_CATALOGUE", str(tmp_path / "mine.toml"))
    with pytest.raises(MissingDataError, match=r"mine\.toml.*\(SCENESHIFT_CATALOGUE\)"):
        open_catalogue(None, None)
    with pytest.raises(InvalidInputError, match="folder"):
        open_catalogue(str(tmp_path), None)
    with pytest.raises(InvalidInputError, match=r"\.toml.*'\.txt'"):
        open_catalogue(str(write(tmp_path, "", "scenes.txt")), None)


@pytest.mark.parametrize("content", [b"[scenes.one\n", b"[scenes.one]\n[scenes.one]\n", b"\xff\xfe", b"a = 1979-99-99"])
def test_what_is_no_toml_is_reported_with_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scenes.toml").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"scenes\.toml.*TOML.*\[scenes\.NAME\]"):
        read_catalogue(tmp_path / "scenes.toml")


ONE = "[scenes.x]\n"
FILES = ONE + 'cube = "x.mat"\n'
NAMED = FILES + 'class_names = ["a", "b"]\n'
PAIR = SCENES_TOO + "[pairs.p]\n"
SIDES = PAIR + 'source = "one"\ntarget = "samson"\n'


@pytest.mark.parametrize(
    ("text", "table", "message"),
    [
        ("[scene.x]", "", "'scenes'"),
        ("scenes = 3", "", "scenes: got 3"),
        ("[scenes]\nx = 3", "[scenes.x]", "got 3"),
        ('[scenes."a b"]', "[scenes.a b]", "'a b'"),
        ('[scenes."a.arrow"]', "[scenes.a.arrow]", "'a.arrow'"),
        ('[scenes."../x"]', "[scenes.../x]", "'../x'"),
        ("[scenes.houston13]", "[scenes.houston13]", "'houston13'"),
        ("[scenes.Samson]", "[scenes.Samson]", "'samson'"),
        (NAMED + '[scenes.X]\ncube = "y.mat"', "[scenes.X]", "'x'"),
        (FILES + 'labls = "y"', "[scenes.x]", "labls"),
        (FILES + 'labls = "y"', "[scenes.x]", "'labels'"),
        (ONE, "[scenes.x]", "cube: got nothing"),
        (FILES + 'stored = "x.arrow"', "[scenes.x]", "stored: got 'x.arrow'"),
        (ONE + 'stored = "x.mat"', "[scenes.x]", "stored: got 'x.mat'"),
        (ONE + 'stored = "x.arrow"\nlabels = "y"', "[scenes.x]", "labels: got 'y'"),
        (ONE + "cube = 3", "[scenes.x]", "cube: got 3"),
        (ONE + 'cube = ""', "[scenes.x]", "cube: got ''"),
        (FILES + "cube_variable = true", "[scenes.x]", "cube_variable: got True"),
        (FILES + 'class_names = "a"', "[scenes.x]", "class_names: got 'a'"),
        (FILES + 'class_names = ["a"]', "[scenes.x]", "class_names: got ['a']"),
        (FILES + 'class_names = ["a", "a"]', "[scenes.x]", "class_names: got ['a', 'a']"),
        (FILES + 'class_names = ["a", 2]', "[scenes.x]", "class_names: got ['a', 2]"),
        (
            FILES + "label_values = [1, 2]",
            "[scenes.x]",
            "class_names: got nothing",
        ),
        (
            NAMED + "label_values = [1]",
            "[scenes.x]",
            "label_values: got [1]",
        ),
        (NAMED + "label_values = [1, 1]", "[scenes.x]", "label_values: got [1, 1]"),
        (NAMED + "label_values = [-1, 1]", "[scenes.x]", "label_values: got [-1, 1]"),
        (NAMED + "label_values = [1.0, 2.0]", "[scenes.x]", "label_values: got [1.0, 2.0]"),
        (NAMED + "label_values = [true, 2]", "[scenes.x]", "label_values: got [True, 2]"),
        (
            NAMED + "unlabelled_values = [2]",
            "[scenes.x]",
            "value 2",
        ),
        (
            NAMED + "pixels_per_class = [1]",
            "[scenes.x]",
            "pixels_per_class: got [1]",
        ),
        (NAMED + "pixels_per_class = [1, -1]", "[scenes.x]", "whole numbers"),
        (NAMED + "scale = 10000", "[scenes.x]", "unit: got nothing"),
        (NAMED + 'unit = "r"\nscale = 0', "[scenes.x]", "scale: got 0"),
        (NAMED + 'unit = "r"\nscale = -1', "[scenes.x]", "scale: got -1"),
        (NAMED + 'unit = "r"\nscale = inf', "[scenes.x]", "scale: got inf"),
        (NAMED + 'unit = "r"\nscale = nan', "[scenes.x]", "scale: got nan"),
        (NAMED + 'unit = "r"\nscale = 1e300', "[scenes.x]", "scale: got 1e+300"),
        (NAMED + 'unit = "r"\nscale = "10"', "[scenes.x]", "scale: got '10'"),
        (FILES + "cut_to_overlap = 1", "[scenes.x]", "cut_to_overlap: got 1"),
        (
            ONE + 'stored = "x.arrow"\ncut_to_overlap = true',
            "[scenes.x]",
            "cut_to_overlap: got True",
        ),
        (NAMED + 'unit = "r"\nscale = true', "[scenes.x]", "scale: got True"),
        (NAMED + "unit = 3", "[scenes.x]", "unit: got 3"),
        (NAMED + 'unit = " "', "[scenes.x]", "' '"),
        (NAMED + 'units = "r"', "[scenes.x]", "units"),
        (NAMED + 'units = "r"', "[scenes.x]", "'unit'"),
        (NAMED + "rows = 3", "[scenes.x]", "rows: got 3"),
        (NAMED + "rows = [3]", "[scenes.x]", "rows: got [3]"),
        (NAMED + "columns = [3, 3]", "[scenes.x]", "columns: got [3, 3]"),
        (NAMED + "columns = [-1, 3]", "[scenes.x]", "columns: got [-1, 3]"),
        (NAMED + "mask = 1", "[scenes.x]", "mask: got 1"),
        (NAMED + "wavelengths_nm = 500", "[scenes.x]", "wavelengths_nm: got 500"),
        (NAMED + "wavelengths_nm = [500, nan]", "[scenes.x]", "wavelengths_nm: got [500, nan]"),
        (NAMED + "wavelengths_nm = [0.4, 2.5]", "[scenes.x]", "micrometres"),
        (
            PAIR + 'source = "one"',
            "[pairs.p]",
            "target: got nothing",
        ),
        (PAIR + 'source = "on"\ntarget = "two"', "[pairs.p]", "source: got 'on'"),
        (
            PAIR + 'source = "one"\ntarget = "jasper"',
            "[pairs.p]",
            "'jasper_ridge'",
        ),
        (
            PAIR + 'source = "one"\ntarget = "berlin"',
            "[pairs.p]",
            "target: got 'berlin'",
        ),
        (PAIR + 'source = "one"\ntarget = "one"', "[pairs.p]", "target: got 'one'"),
        (SIDES + "classmap = {}", "[pairs.p]", "'class_map'"),
        (SIDES + "fwhm_nm = -3", "[pairs.p]", "fwhm_nm: got -3"),
        (SIDES + "fwhm_nm = []", "[pairs.p]", "fwhm_nm: got []"),
        (SIDES + "class_map = {}", "[pairs.p]", "class_map: got {}"),
        (
            SIDES + "class_map = { soil = 3 }",
            "[pairs.p]",
            "'soil'",
        ),
        (
            SIDES + 'class_map = { sol = "soil" }',
            "[pairs.p]",
            "'sol'",
        ),
        (
            SIDES + 'class_map = { soil = "sol" }',
            "[pairs.p]",
            "'sol'",
        ),
        (SIDES + 'class_map = { soil = "soil" }', "[pairs.p]", "two classes"),
        (
            SIDES + 'class_map = { soil = "soil", tree = "soil" }',
            "[pairs.p]",
            "'soil'",
        ),
        (
            NAMED + '[pairs.p]\nsource = "x"\ntarget = "samson"',
            "[pairs.p]",
            "class_map: got nothing",
        ),
        ('[pairs.west-east]\nsource = "samson"', "[pairs.west-east]", "'west-east'"),
    ],
)
def test_each_wrong_entry_is_reported_with_file_table_and_key(
    tmp_path: Path, text: str, table: str, message: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InvalidInputError) as error:
        read_catalogue(path)
    error_text = str(error.value)
    assert error_text.startswith(f"{path}, {table}" if table else f"{path}, ")
    assert message in error_text
    assert error_text.endswith((".", "?", "} .", "}."))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('wood = { source = ["soil", "tree"], targets = "tree" }', "'targets'"),
        (
            'wood = { source = ["sol", "tree"], target = "tree" }',
            "'sol'",
        ),
        ('water = { source = ["soil", "tree"], target = "tree" }', "'water'"),
        (
            'wood = { source = ["soil", "tree"], target = "tree" }, tree = "soil"',
            "'tree'",
        ),
        ('wood = { source = [], target = "tree" }', "'wood'"),
        ('wood = { source = ["soil", "tree"] }', "'wood'"),
    ],
)
def test_a_merging_class_map_that_is_wrong_is_reported(tmp_path: Path, entry: str, message: str) -> None:
    path = write(tmp_path, SIDES + f"class_map = {{ {entry} }}")
    with pytest.raises(InvalidInputError) as error:
        read_catalogue(path)
    assert str(error.value).startswith(f"{path}, [pairs.p], class_map: got ")
    assert message in str(error.value)


def test_classes_of_either_side_are_merged(tmp_path: Path) -> None:
    entry = 'land = { source = ["soil", "tree"], target = ["soil", "tree"] }, water = "water"'
    pair = read_catalogue(write(tmp_path, SIDES + f"class_map = {{ {entry} }}")).pairs["p"]
    assert pair.class_matches == (("soil", "land"), ("tree", "land"), ("water", "water"))
    assert pair.merged == (("soil", "land"), ("tree", "land"))
    # The pair's own name is the class of a side that is not given.
    entry = 'tree = { source = ["tree", "water"] }, soil = "soil"'
    pair = read_catalogue(write(tmp_path, SIDES + f"class_map = {{ {entry} }}")).pairs["p"]
    assert pair.class_matches == (("tree", "tree"), ("soil", "soil"))
    assert pair.merged == (("tree", "tree"), ("water", "tree"))


def test_what_is_long_is_cut_short(tmp_path: Path) -> None:
    path = write(tmp_path, NAMED + f"label_values = {list(range(1, 300))}")
    with pytest.raises(InvalidInputError, match=r"got \[1, 2, 3, .*…; expected 2 numbers"):
        read_catalogue(path)


def test_a_recipe_carries_its_catalogue(tmp_path: Path) -> None:
    catalogue = read_catalogue(write(tmp_path, SIDES))
    pair = NamedPair(name="p", catalogue=catalogue)
    scene = InScene(scene="one", split="blocks", patch_size=5, seed=0, catalogue=catalogue)
    for recipe in (pair, scene):
        assert pickle.loads(pickle.dumps(recipe)) == recipe
        assert len(recipe.definition_hash) == 16
    assert scene.name == "one"
    with pytest.raises(InvalidInputError, match=r"--split.*--train-mask.*--test-mask"):
        InScene(scene="one", split="fixed", patch_size=5, seed=0, catalogue=catalogue)
    assert NamedPair(name="west-east", catalogue=catalogue).definition_hash is None
    with pytest.raises(InvalidInputError, match="'p'"):
        NamedPair(name="p")


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('class_names = ["soil", "tree", "water"]', 'class_names = ["soil", "water", "tree"]', False),
        ('cube = "one.mat"', 'cube = "another.mat"', False),
        ('target = "samson"', 'target = "samson"\nfwhm_nm = 3', False),
        ('cube = "one.mat"', 'cube = "one.mat"\nrows = [0, 20]', False),
        ('cube = "one.mat"', 'cube = "one.mat"\nmask = "half.npy"', False),
        ('target = "samson"', 'target = "samson"\nclass_map = { soil = "water", tree = "tree" }', False),
        ('target = "samson"', 'target = "jasper_ridge"', False),
        ('cube = "one.mat"', 'cube = "one.mat"\nunit = "counts"', False),
        ('cube = "one.mat"', 'cube = "one.mat"\nunit = "counts"\nscale = 10', False),
        ('cube = "one.mat"', 'cube = "one.mat"\npixels_per_class = [1, 2, 3]', True),
        ('stored = "two.arrow"', 'stored = "other.arrow"', True),
    ],
)
def test_the_hash_is_of_what_decides_what_is_read(tmp_path: Path, old: str, new: str, same: bool) -> None:
    before = read_catalogue(write(tmp_path, SIDES)).pair_hash("p")
    moved = tmp_path / "moved"
    assert read_catalogue(write(moved, SIDES)).pair_hash("p") == before
    assert old in SIDES
    assert (read_catalogue(write(moved, SIDES.replace(old, new))).pair_hash("p") == before) == same


def test_without_a_unit_the_hash_is_what_it_was_before_there_were_units(tmp_path: Path) -> None:
    catalogue = read_catalogue(write(tmp_path, SIDES))
    assert (catalogue.scene_hash("one"), catalogue.pair_hash("p")) == ("425907189044aa14", "6de11900d2b6710a")
