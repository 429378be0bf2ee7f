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
    with pytest.raises(MissingDataError, match=r"no file .*mine\.toml.*own scenes \(--catalogue\)"):
        open_catalogue(str(tmp_path / "mine.toml"), None)
    monkeypatch.setenv("SCENESHIFT_CATALOGUE", str(tmp_path / "mine.toml"))
    with pytest.raises(MissingDataError, match=r"own scenes \(SCENESHIFT_CATALOGUE\)"):
        open_catalogue(None, None)
    with pytest.raises(InvalidInputError, match="folder"):
        open_catalogue(str(tmp_path), None)
    with pytest.raises(InvalidInputError, match=r"\.toml.*'\.txt'"):
        open_catalogue(str(write(tmp_path, "", "scenes.txt")), None)


@pytest.mark.parametrize("content", [b"[scenes.one\n", b"[scenes.one]\n[scenes.one]\n", b"\xff\xfe", b"a = 1979-99-99"])
def test_what_is_no_toml_is_told_with_the_file(tmp_path: Path, content: bytes) -> None:
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
        ("[scene.x]", "", "got a key that is not known; expected one of scenes, pairs (did you mean 'scenes'?)."),
        ("scenes = 3", "", "scenes: got 3; expected tables [scenes.NAME]. Begin each by a line [scenes.NAME]."),
        ("[scenes]\nx = 3", "[scenes.x]", "got 3; expected a table."),
        ('[scenes."a b"]', "[scenes.a b]", "got the name 'a b'; expected letters, digits,"),
        ('[scenes."a.arrow"]', "[scenes.a.arrow]", "got the name 'a.arrow'; expected letters, digits,"),
        ('[scenes."../x"]', "[scenes.../x]", "got the name '../x'"),
        ("[scenes.houston13]", "[scenes.houston13]", "got the name 'houston13'; expected one that is not taken, and"),
        ("[scenes.Samson]", "[scenes.Samson]", "and there is a scene 'samson'. Choose another name."),
        (NAMED + '[scenes.X]\ncube = "y.mat"', "[scenes.X]", "and there is a scene 'x'."),
        (FILES + 'labls = "y"', "[scenes.x]", "labls: got a key that is not known; expected one of stored, cube,"),
        (FILES + 'labls = "y"', "[scenes.x]", "did you mean 'labels'?). Correct its name, or leave it out."),
        (ONE, "[scenes.x]", "cube: got nothing; expected either cube (and labels), or stored."),
        (FILES + 'stored = "x.arrow"', "[scenes.x]", "stored: got 'x.arrow'; expected either cube"),
        (ONE + 'stored = "x.mat"', "[scenes.x]", "stored: got 'x.mat'; expected a file that ends in .arrow."),
        (ONE + 'stored = "x.arrow"\nlabels = "y"', "[scenes.x]", "labels: got 'y'; expected no other key with stored."),
        (ONE + "cube = 3", "[scenes.x]", "cube: got 3; expected a text. Write it in quotes."),
        (ONE + 'cube = ""', "[scenes.x]", "cube: got ''; expected a text."),
        (FILES + "cube_variable = true", "[scenes.x]", "cube_variable: got True; expected a text."),
        (FILES + 'class_names = "a"', "[scenes.x]", "class_names: got 'a'; expected a list of two or more different"),
        (FILES + 'class_names = ["a"]', "[scenes.x]", "class_names: got ['a']; expected a list of two or more"),
        (FILES + 'class_names = ["a", "a"]', "[scenes.x]", "class_names: got ['a', 'a']; expected a list of two"),
        (FILES + 'class_names = ["a", 2]', "[scenes.x]", "class_names: got ['a', 2]; expected a list of two"),
        (
            FILES + "label_values = [1, 2]",
            "[scenes.x]",
            "class_names: got nothing; expected names with label_values.",
        ),
        (
            NAMED + "label_values = [1]",
            "[scenes.x]",
            "label_values: got [1]; expected 2 numbers, one per class (a, b).",
        ),
        (NAMED + "label_values = [1, 1]", "[scenes.x]", "label_values: got [1, 1]; expected different numbers."),
        (NAMED + "label_values = [-1, 1]", "[scenes.x]", "label_values: got [-1, 1]; expected a list of whole numbers"),
        (NAMED + "label_values = [1.0, 2.0]", "[scenes.x]", "label_values: got [1.0, 2.0]; expected a list of whole"),
        (NAMED + "label_values = [true, 2]", "[scenes.x]", "label_values: got [True, 2]; expected a list of whole"),
        (
            NAMED + "unlabelled_values = [2]",
            "[scenes.x]",
            "expected no class numbers; value 2 is also a class. Remove it",
        ),
        (
            NAMED + "pixels_per_class = [1]",
            "[scenes.x]",
            "pixels_per_class: got [1]; expected 2 numbers, one per class",
        ),
        (NAMED + "pixels_per_class = [1, -1]", "[scenes.x]", "expected a list of whole numbers from 0 on."),
        (NAMED + "scale = 10000", "[scenes.x]", "unit: got nothing; expected a unit with scale."),
        (NAMED + 'unit = "r"\nscale = 0', "[scenes.x]", "scale: got 0; expected a positive number."),
        (NAMED + 'unit = "r"\nscale = -1', "[scenes.x]", "scale: got -1; expected a positive number."),
        (NAMED + 'unit = "r"\nscale = inf', "[scenes.x]", "scale: got inf; expected a positive number."),
        (NAMED + 'unit = "r"\nscale = nan', "[scenes.x]", "scale: got nan; expected a positive number."),
        (NAMED + 'unit = "r"\nscale = 1e300', "[scenes.x]", "scale: got 1e+300; expected a positive number."),
        (NAMED + 'unit = "r"\nscale = "10"', "[scenes.x]", "scale: got '10'; expected a positive number."),
        (FILES + "cut_to_overlap = 1", "[scenes.x]", "cut_to_overlap: got 1; expected true or false."),
        (
            ONE + 'stored = "x.arrow"\ncut_to_overlap = true',
            "[scenes.x]",
            "cut_to_overlap: got True; expected no other key",
        ),
        (NAMED + 'unit = "r"\nscale = true', "[scenes.x]", "scale: got True; expected a positive number."),
        (NAMED + "unit = 3", "[scenes.x]", "unit: got 3; expected a text."),
        (NAMED + 'unit = " "', "[scenes.x]", "got the unit ' '; expected a few words in one line."),
        (NAMED + 'units = "r"', "[scenes.x]", "units: got a key that is not known; expected one of stored, cube,"),
        (NAMED + 'units = "r"', "[scenes.x]", "did you mean 'unit'?"),
        (NAMED + "rows = 3", "[scenes.x]", "rows: got 3; expected a list of whole numbers from 0 on."),
        (NAMED + "rows = [3]", "[scenes.x]", "rows: got [3]; expected two numbers that increase."),
        (NAMED + "columns = [3, 3]", "[scenes.x]", "columns: got [3, 3]; expected two numbers that increase."),
        (NAMED + "columns = [-1, 3]", "[scenes.x]", "columns: got [-1, 3]; expected a list of whole numbers from 0"),
        (NAMED + "mask = 1", "[scenes.x]", "mask: got 1; expected a text."),
        (NAMED + "wavelengths_nm = 500", "[scenes.x]", "wavelengths_nm: got 500; expected a list of positive numbers."),
        (NAMED + "wavelengths_nm = [500, nan]", "[scenes.x]", "wavelengths_nm: got [500, nan]; expected a list of pos"),
        (NAMED + "wavelengths_nm = [0.4, 2.5]", "[scenes.x]", "expected nanometres. These look like micrometres;"),
        (
            PAIR + 'source = "one"',
            "[pairs.p]",
            "target: got nothing; expected a scene with a label map, one of one, two",
        ),
        (PAIR + 'source = "on"\ntarget = "two"', "[pairs.p]", "source: got 'on'; expected a scene with a label map,"),
        (
            PAIR + 'source = "one"\ntarget = "jasper"',
            "[pairs.p]",
            "did you mean 'jasper_ridge'?). Describe it by a table",
        ),
        (
            PAIR + 'source = "one"\ntarget = "berlin"',
            "[pairs.p]",
            "target: got 'berlin'; expected a scene with a label",
        ),
        (PAIR + 'source = "one"\ntarget = "one"', "[pairs.p]", "target: got 'one'; expected a scene other than the"),
        (SIDES + "classmap = {}", "[pairs.p]", "did you mean 'class_map'?)"),
        (SIDES + "fwhm_nm = -3", "[pairs.p]", "fwhm_nm: got -3; expected a positive number of nanometres, or a list"),
        (SIDES + "fwhm_nm = []", "[pairs.p]", "fwhm_nm: got []; expected a positive number of nanometres"),
        (SIDES + "class_map = {}", "[pairs.p]", "class_map: got {}; expected a table"),
        (
            SIDES + "class_map = { soil = 3 }",
            "[pairs.p]",
            "expected a class of the target, or a list of them, for 'soil'",
        ),
        (
            SIDES + 'class_map = { sol = "soil" }',
            "[pairs.p]",
            "classes of the source (soil, tree, water), and 'sol' is",
        ),
        (
            SIDES + 'class_map = { soil = "sol" }',
            "[pairs.p]",
            "classes of the target (soil, tree, water), and 'sol' is",
        ),
        (SIDES + 'class_map = { soil = "soil" }', "[pairs.p]", "expected at least two classes. Name another."),
        (
            SIDES + 'class_map = { soil = "soil", tree = "soil" }',
            "[pairs.p]",
            "class of the target once, and 'soil' is named twice",
        ),
        (
            NAMED + '[pairs.p]\nsource = "x"\ntarget = "samson"',
            "[pairs.p]",
            "class_map: got nothing; expected at least two shared classes of a, b and soil, tree, water.",
        ),
        ('[pairs.west-east]\nsource = "samson"', "[pairs.west-east]", "and there is a pair 'west-east'."),
    ],
)
def test_each_wrong_entry_is_told_with_file_table_and_key(tmp_path: Path, text: str, table: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InvalidInputError) as error:
        read_catalogue(path)
    told = str(error.value)
    assert told.startswith(f"{path}, {table}" if table else f"{path}, ")
    assert message in told
    assert told.endswith((".", "?", "} .", "}."))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('wood = { source = ["soil", "tree"], targets = "tree" }', "source and target for 'wood', and 'targets' is"),
        (
            'wood = { source = ["sol", "tree"], target = "tree" }',
            "classes of the source (soil, tree, water), and 'sol'",
        ),
        ('water = { source = ["soil", "tree"], target = "tree" }', "and 'water' is another class of the source"),
        (
            'wood = { source = ["soil", "tree"], target = "tree" }, tree = "soil"',
            "source once, and 'tree' is named twic",
        ),
        ('wood = { source = [], target = "tree" }', "expected a class of the source, or a list of them, for 'wood'"),
        ('wood = { source = ["soil", "tree"] }', "classes of the target (soil, tree, water), and 'wood' is none"),
    ],
)
def test_a_merging_class_map_that_is_wrong_is_told(tmp_path: Path, entry: str, message: str) -> None:
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
    # The pair's own name stands for the class of a side that is not written.
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
