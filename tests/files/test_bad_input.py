"""Bad input: every row of the table in docs/bad_input.md is a case here, and says what the case gives."""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from sceneshift.catalogue.one_acquisition import refuse_one_acquisition
from sceneshift.catalogue.units import refuse_normalization
from sceneshift.commands.announcements import announce_training, describe_pair
from sceneshift.commands.scene_checks import check_file
from sceneshift.commands.train import main
from sceneshift.commands.train_arguments import TrainArgs
from sceneshift.engine.prepared_training import prepare_training
from sceneshift.errors import SceneshiftError
from sceneshift.files.arrays import read_array, read_label_map
from sceneshift.files.arrow_scenes import open_scene, write_scene
from sceneshift.files.scenes import export_labels, export_scene, read_scene, read_unlabelled_scene
from sceneshift.scenes.alignment import align
from sceneshift.scenes.measured import describe_missing
from sceneshift.scenes.normalization import Normalization
from sceneshift.scenes.scene import Georeference, Scene, UnlabelledScene
from sceneshift.scenes.value_summary import ValueSummary, refuse_other_values
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import everything_split, mask_split, random_split
from sceneshift.training.data import source_split

TABLE = Path(__file__).resolve().parents[2] / "docs" / "bad_input.md"

REFUSED, TOLD, REPAIRED = "rejected", "reported", "repaired"


@dataclass(frozen=True)
class Case:
    """A row of the table; ``run`` raises, or returns the message."""

    wrong: str
    where: str
    happens: str
    run: Callable[[Path], str]


CASES: list[Case] = []


def case(wrong: str, where: str, happens: str) -> Callable[[Callable[[Path], str]], Callable[[Path], str]]:
    def add(run: Callable[[Path], str]) -> Callable[[Path], str]:
        CASES.append(Case(wrong, where, happens, run))
        return run

    return add


def row(one: Case, folder: Path) -> tuple[str, str, str, str]:
    """The row a case makes: what it says, without the folder it ran in."""
    if one.happens == REFUSED:
        with pytest.raises(SceneshiftError) as refused:
            one.run(folder)
        message = str(refused.value)
    else:
        message = one.run(folder)
    message = re.sub(r"\b[0-9a-f]{16}\b", "…", message.replace(f"{folder}/", ""))  # a checksum's digits
    return one.wrong, one.where, one.happens, message


def rows_of_the_table() -> list[tuple[str, ...]]:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return [(*first, message.strip("`").strip()) for *first, message in cells]


@contextmanager
def heard() -> Iterator[list[str]]:
    """What is logged as a warning meanwhile."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("sceneshift")
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


@contextmanager
def nobody() -> Iterator[None]:
    """As a user who owns nothing: root may read whatever its modes are."""
    if os.getuid() != 0:
        yield
        return
    os.setresgid(65534, 65534, 0)
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)


def cube_of(height: int = 9, width: int = 7, bands: int = 5) -> np.ndarray:
    return np.random.default_rng(0).random((height, width, bands)).astype(np.float32)


def labels_of(height: int = 9, width: int = 7) -> np.ndarray:
    return np.arange(height * width).reshape(height, width) % 4


def scene_of(name: str = "field", bands: int = 5, classes: tuple[str, ...] = ("soil", "tree", "water")) -> Scene:
    labels = np.minimum(labels_of(), len(classes))
    return Scene(name=name, cube=cube_of(bands=bands), labels=labels, class_names=classes)


def read_npz(folder: Path, **changes: object) -> Scene:
    np.savez(folder / "field.npz", **({"cube": cube_of(), "labels": labels_of()} | changes))
    return read_scene(folder / "field.npz", class_names=("soil", "tree", "water"))


def train(folder: Path, **arguments: object) -> str:
    """What the training script prepares before anything is trained."""
    arguments = {"method": "s2vnet", "device": "cpu", "split": "random", "storage_path": str(folder)} | arguments
    given = TrainArgs(**arguments)
    return "\n".join(announce_training(prepare_training(given.spec(), given.options())))


@case("NaN or infinite values", "reading a scene; the first lines of a training or a search", REPAIRED)
def _(folder: Path) -> str:
    cube = cube_of()
    cube[1, 2, 3] = np.nan
    scene = read_npz(folder, cube=cube)
    assert not scene.cube[1, 2].any()
    assert scene.labels[1, 2] == 0
    return describe_missing(scene)[0]


@case("NaN or infinite values", "building a scene from an array", REFUSED)
def _(folder: Path) -> str:
    cube = cube_of()
    cube[1, 2, 3] = np.nan
    return replace(scene_of(), cube=cube).name


@case("NaN or infinite values", "`scenes.py check`", TOLD)
def _(folder: Path) -> str:
    cube = cube_of()
    cube[1, 2, 3] = np.inf
    np.save(folder / "field.npy", cube)
    return check_file(folder / "field.npy")[2].strip()


def read_envi(folder: Path, cube: np.ndarray, header: str) -> UnlabelledScene:
    pytest.importorskip("rasterio", reason="not installed: pip install -e '.[geo]'")
    (folder / "field.img").write_bytes(cube.tobytes())
    (folder / "field.hdr").write_text(
        "ENVI\nsamples = 7\nlines = 9\nbands = 5\nheader offset = 0\ndata type = 4\ninterleave = bip\nbyte order = 0\n"
        + header
    )
    return read_unlabelled_scene(folder / "field.hdr")


@case("pixels that lack a value in some band", "reading a scene; the first lines of a training or a search", REPAIRED)
def _(folder: Path) -> str:
    cube = cube_of()
    cube[0, 0, 2] = -9
    scene = read_envi(folder, cube, "data ignore value = -9\n")
    assert not scene.cube[0, 0].any()
    return describe_missing(scene)[0]


@case("a band without a value", "reading a scene; the first lines of a training or a search", REPAIRED)
def _(folder: Path) -> str:
    cube = cube_of()
    cube[..., 2] = -9
    scene = read_envi(folder, cube, "data ignore value = -9\n")
    assert scene.num_bands == 4
    return describe_missing(scene)[0]


@case("a band that an ENVI header marks as bad", "reading a scene; the first lines of a training or a search", REPAIRED)
def _(folder: Path) -> str:
    scene = read_envi(folder, cube_of(), "bbl = {1, 0, 1, 1, 0}\n")
    assert scene.num_bands == 3
    return describe_missing(scene)[0]


@case("a list of bad bands of another length", "reading a scene", REFUSED)
def _(folder: Path) -> str:
    return read_envi(folder, cube_of(), "bbl = {1, 0, 1, 1}\n").name


@case("an ENVI header without a byte order", "reading a scene", TOLD)
def _(folder: Path) -> str:
    read_envi(folder, cube_of(), "")
    header = folder / "field.hdr"
    header.write_text(header.read_text().replace("byte order = 0\n", ""))
    with heard() as warnings:
        np.testing.assert_array_equal(read_unlabelled_scene(header).cube, cube_of())
    return warnings[0]


@case("an ENVI header with an unknown interleave", "reading a scene", REFUSED)
def _(folder: Path) -> str:
    read_envi(folder, cube_of(), "")
    header = folder / "field.hdr"
    header.write_text(header.read_text().replace("bip", "tile"))
    return read_unlabelled_scene(header).name


@case("an optional value of an ENVI header that can't be understood", "reading a scene", TOLD)
def _(folder: Path) -> str:
    with heard() as warnings:
        assert read_envi(folder, cube_of(), "wavelength units = Index\nwavelength = {1, 2, 3, 4, 5}\n").num_bands == 5
    return warnings[0]


@case("a spectral library instead of an image", "reading a scene", REFUSED)
def _(folder: Path) -> str:
    return read_envi(folder, cube_of(), "file type = ENVI Spectral Library\n").name


@case("the numbers of an ENVI image instead of its header", "reading a file", REFUSED)
def _(folder: Path) -> str:
    read_envi(folder, cube_of(), "")
    return str(read_array(folder / "field.img").shape)


@case("missing data that the file doesn't declare", "reading a scene", TOLD)
def _(folder: Path) -> str:
    cube = cube_of()
    cube[:2] = -9999
    with heard() as warnings:
        read_npz(folder, cube=cube)
    return warnings[0]


@case("no band left", "reading a scene", REFUSED)
def _(folder: Path) -> str:
    return read_envi(folder, cube_of(), "bbl = {0, 0, 0, 0, 0}\n").name


@case("no pixel with a value in every band", "reading a scene", REFUSED)
def _(folder: Path) -> str:
    cube = cube_of()
    cube[:5, :, 1], cube[4:, :, 3] = np.nan, np.nan
    return read_npz(folder, cube=cube).name


@case("a constant band", "`scenes.py check`", TOLD)
def _(folder: Path) -> str:
    cube = cube_of()
    cube[..., 2] = 0.5
    np.save(folder / "field.npy", cube)
    return check_file(folder / "field.npy")[2].strip()


@case("a constant band", "the first lines of a training or a search", TOLD)
def _(folder: Path) -> str:
    cube = cube_of()
    cube[..., 2] = 0.5
    scene = replace(scene_of(), cube=cube)
    pair = ScenePair(name="field-other", sources=(scene,), target=scene_of("other").without_labels())
    return describe_pair(pair, [everything_split(scene, patch_size=5)])[1].strip()


@case("a constant band", "normalizing (`minmax-per-band`, `standardize-per-band`)", REPAIRED)
def _(folder: Path) -> str:
    cube = cube_of()
    cube[..., 2] = 0.5
    step = Normalization.fit("standardize-per-band", cube)
    assert not step.apply(cube)[..., 2].any()
    assert not step.apply(cube_of())[..., 2].any()
    return "(nothing; the band becomes 0 in every scene)"


@case("a cube without three axes", "reading a scene", REFUSED)
def _(folder: Path) -> str:
    return read_npz(folder, cube=cube_of()[0]).name


@case("cube and label map of different sizes", "reading a scene", REFUSED)
def _(folder: Path) -> str:
    return read_npz(folder, labels=labels_of()[:6]).name


@case("axes in a different order than the label map's", "reading a scene", REFUSED)
def _(folder: Path) -> str:
    return read_npz(folder, cube=cube_of().transpose(2, 0, 1)).name


@case("bands that are not the last axis, without a label map", "`scenes.py check`", TOLD)
def _(folder: Path) -> str:
    np.save(folder / "field.npy", cube_of(6, 300, 50))
    return check_file(folder / "field.npy")[2].strip()


@case("a label above the number of classes", "reading a scene", REFUSED)
def _(folder: Path) -> str:
    return read_npz(folder, labels=labels_of() + 1).name


@case("a label below 0", "reading a label map", REFUSED)
def _(folder: Path) -> str:
    return read_npz(folder, labels=labels_of() - 1).name


@case("labels with fractions", "reading a label map", REFUSED)
def _(folder: Path) -> str:
    return read_npz(folder, labels=labels_of() / 2).name


@case("labels that are NaN, or the file's own value for missing data", "reading a label map", TOLD)
def _(folder: Path) -> str:
    with heard() as warnings:
        scene = read_npz(folder, labels=np.where(labels_of() == 0, np.nan, labels_of()))
    np.testing.assert_array_equal(scene.labels, labels_of())
    return warnings[0]


@case("class numbers from 0 that are not declared", "reading a scene", TOLD)
def _(folder: Path) -> str:
    with heard() as warnings:
        read_npz(folder, labels=labels_of() % 3)
    return warnings[0]


@case("labels that are floats without fractions", "reading a label map", REPAIRED)
def _(folder: Path) -> str:
    scene = read_npz(folder, labels=labels_of().astype(np.float64))
    np.testing.assert_array_equal(scene.labels, labels_of())
    return "(nothing; 2.0 is class 2)"


@case("a class without a labelled pixel", "splitting the source", REFUSED)
def _(folder: Path) -> str:
    scene = scene_of(classes=("soil", "tree", "water", "snow"))
    return random_split(scene, train_fraction=0.5, patch_size=5, seed=0).kind


@case("a class with no pixel left to train on", "before a training begins", REFUSED)
def _(folder: Path) -> str:
    scene, labels = scene_of(), labels_of().ravel()
    train, test = np.flatnonzero((labels == 1) | (labels == 2)), np.flatnonzero(labels == 3)
    split = mask_split(scene, train=train, validation=test, patch_size=5, seed=0)
    return SourceDomain(pair_name="field-other", scene=scene, split=split).pair_name


@case("a class of the target that the source does not have", "aligning a pair; the first lines of a training", TOLD)
def _(folder: Path) -> str:
    aligned = align(scene_of(), scene_of("other", classes=("soil", "snow", "tree")))
    assert aligned.target.class_names == ("soil", "tree")
    assert set(np.unique(aligned.target.labels)) == {0, 1, 2}
    return "; ".join(note for note in aligned.notes if "left out" in note)


@case("matching to such a class", "aligning a pair", REFUSED)
def _(folder: Path) -> str:
    target = scene_of("other", classes=("soil", "snow", "tree"))
    return align(scene_of(), target, class_matches={"soil": "soil", "tree": "tree", "snow": "snow"}).notes[0]


@case("two files of one acquisition", "making a pair", REFUSED)
def _(folder: Path) -> str:
    refuse_one_acquisition("field-other", scene_of(), scene_of("other"))
    return ""


@case("fewer than two shared classes", "aligning a pair", REFUSED)
def _(folder: Path) -> str:
    return align(scene_of(), scene_of("other", classes=("soil", "snow"))).notes[0]


@case("a patch wider than the scene", "`train.py`, before anything is trained", REFUSED)
def _(folder: Path) -> str:
    return train(folder, scene="indian_pines", patch_size=147)


@case("a patch wider than the target", "`train.py` and searches, before anything is trained", REFUSED)
def _(folder: Path) -> str:
    target = Scene(name="strip", cube=cube_of(5), labels=labels_of(5), class_names=("soil", "tree", "water"))
    pair = ScenePair(name="field-strip", sources=(scene_of(),), target=target.without_labels())
    return source_split(pair, "random", fraction=0.8, patch_size=7, seed=0).kind


@case("a patch with an even side", "`train.py`, before anything is trained", REFUSED)
def _(folder: Path) -> str:
    return train(folder, scene="indian_pines", patch_size=8)


@case("different numbers of bands, wavelengths unknown", "aligning a pair", REFUSED)
def _(folder: Path) -> str:
    return align(scene_of(), scene_of("other", bands=4)).notes[0]


@case("a scene with other bands than the network was trained on", "normalizing, before it is mapped", REFUSED)
def _(folder: Path) -> str:
    step = Normalization.fit("minmax-per-band", cube_of())
    return str(step.apply(cube_of(bands=4)).shape)


@case("units that seem to differ", "`train.py` and searches, before anything is trained", REFUSED)
def _(folder: Path) -> str:
    other = scene_of("other")
    other = replace(other, cube=10_000 * other.cube)
    refuse_normalization(ScenePair(name="p", sources=(scene_of(),), target=other.without_labels()), "minmax-per-band")
    return ""


@case("a scale for values whose unit the file states", "reading a scene", REFUSED)
def _(folder: Path) -> str:
    export_scene(replace(scene_of(), unit="reflectance"), folder / "field.npz", "npz")
    return read_scene(folder / "field.npz", scale=10_000, unit="reflectance").name


@case("a cube divided by its own extremes, shown to a model of one that was not", "before it is mapped", REFUSED)
def _(folder: Path) -> str:
    cube = 1000 + 5000 * cube_of(20, 20)
    own = (cube - cube.min()) / (cube.max() - cube.min())
    refuse_other_values(ValueSummary.of(cube), ValueSummary.of(own), normalization="l2-per-pixel")
    return ""


@case("another scale than the file declares", "reading a scene", REFUSED)
def _(folder: Path) -> str:
    export_scene(scene_of(), folder / "field.hdr", "envi")
    with (folder / "field.hdr").open("a") as header:
        header.write("reflectance scale factor = 10000\n")
    return read_unlabelled_scene(folder / "field.hdr", scale=100).name


@case("a scale factor left in the header of numbers that were divided", "reading a scene", TOLD)
def _(folder: Path) -> str:
    export_scene(scene_of(), folder / "field.hdr", "envi")
    with (folder / "field.hdr").open("a") as header:
        header.write("reflectance scale factor = 10000\n")
    with heard() as warnings:
        scene = read_unlabelled_scene(folder / "field.hdr")
    np.testing.assert_array_equal(scene.cube, scene_of().cube)
    return warnings[0]


def place_of(scene: Scene, folder: Path, *, columns: float | None) -> Scene:
    """A scene read from a cube, and a label map that begins so many columns further, or doesn't say where."""
    places = [
        Georeference(transform=(30, 0, 1000 + 30 * by, 0, -30, 2000), crs="EPSG:32633") for by in (0, columns or 0)
    ]
    export_scene(replace(scene, georeference=places[0]), folder / "field.tif", "geotiff")
    elsewhere = None if columns is None else places[1]
    export_labels(scene.labels, folder / "labels.tif", "geotiff", class_names=scene.class_names, georeference=elsewhere)
    return read_scene(folder / "field.tif", labels=folder / "labels.tif", class_names=scene.class_names)


@case("a cube and a label map of two places", "reading a scene", REFUSED)
def _(folder: Path) -> str:
    return place_of(scene_of(), folder, columns=2).name


@case("a label map that is fractions of a pixel apart from its cube", "reading a scene", REFUSED)
def _(folder: Path) -> str:
    return place_of(scene_of(), folder, columns=0.5).name


@case("a label map that doesn't say where it is", "reading a scene", TOLD)
def _(folder: Path) -> str:
    with heard() as warnings:
        place_of(scene_of(), folder, columns=None)
    return warnings[0]


@case("a missing variable", "reading a file", REFUSED)
def _(folder: Path) -> str:
    np.savez(folder / "field.npz", a=cube_of(), b=cube_of())
    return str(read_array(folder / "field.npz", "cube", ndim=3).shape)


@case("a missing variable, and exactly one other that fits", "reading a file", TOLD)
def _(folder: Path) -> str:
    np.savez(folder / "field.npz", a=cube_of(), b=labels_of())
    with heard() as warnings:
        assert read_array(folder / "field.npz", "cube", ndim=3).shape == (9, 7, 5)
    return warnings[0]


@case("a name that is not in the file", "reading `FILE:NAME`", REFUSED)
def _(folder: Path) -> str:
    np.savez(folder / "field.npz", a=cube_of(), b=labels_of())
    return str(read_array(f"{folder / 'field.npz'}:c").shape)


@case("an empty file", "reading a file", REFUSED)
def _(folder: Path) -> str:
    (folder / "field.mat").touch()
    return str(read_array(folder / "field.mat").shape)


@case("a truncated file", "reading a file", REFUSED)
def _(folder: Path) -> str:
    np.save(folder / "field.npy", cube_of())
    content = (folder / "field.npy").read_bytes()
    (folder / "field.npy").write_bytes(content[:700])
    return str(read_array(folder / "field.npy").shape)


@case("a file that claims to be larger than it can be", "reading a file, before memory is asked for", REFUSED)
def _(folder: Path) -> str:
    with h5py.File(folder / "field.mat", "w") as file:
        file.create_dataset("cube", shape=(200, 50_000, 50_000), dtype=np.float64)
    return str(read_array(folder / "field.mat", "cube").shape)


@case("a stored scene with a changed byte", "`scenes.py check`, or `open_scene(…, verify=True)`", REFUSED)
def _(folder: Path) -> str:
    write_scene(scene_of(), folder / "field.arrow")
    content = bytearray((folder / "field.arrow").read_bytes())
    content[content.index(scene_of().cube[4, 4].tobytes())] ^= 1
    (folder / "field.arrow").write_bytes(content)
    assert open_scene(folder / "field.arrow").cube[4, 4, 0] != scene_of().cube[4, 4, 0]
    return check_file(folder / "field.arrow")[0]


class Mark:
    """Raises when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise AssertionError('unpickled')",)


@case("an array of objects", "reading a file; it is never unpickled", REFUSED)
def _(folder: Path) -> str:
    objects = np.empty((9, 7), dtype=object)
    objects[:] = Mark()
    np.savez(folder / "field.npz", cube=cube_of(), labels=objects)
    return read_scene(folder / "field.npz", class_names=("soil", "tree", "water")).name


@case("a folder instead of a file", "reading a file", REFUSED)
def _(folder: Path) -> str:
    (folder / "field.npy").mkdir()
    return str(read_array(folder / "field.npy").shape)


@case("a pipe instead of a file", "reading a file", REFUSED)
def _(folder: Path) -> str:
    os.mkfifo(folder / "field.npy")
    return str(read_array(folder / "field.npy").shape)


@case("a missing file", "reading a file", REFUSED)
def _(folder: Path) -> str:
    return str(read_label_map(folder / "field.png").shape)


@case("no permission to read a file", "reading a file", REFUSED)
def _(folder: Path) -> str:
    np.save(folder / "field.npy", cube_of())
    (folder / "field.npy").chmod(0)
    for parent in (folder, *folder.parents):  # what pytest makes is its user's alone
        if parent.stat().st_uid == os.getuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o001)
    with nobody():
        return str(read_array(folder / "field.npy").shape)


@case("no permission to look into a file's folder", "reading a file", REFUSED)
def _(folder: Path) -> str:
    (folder / "closed").mkdir()
    np.save(folder / "closed" / "field.npy", cube_of())
    (folder / "closed").chmod(0)
    try:
        with nobody():
            return str(read_array(folder / "closed" / "field.npy").shape)
    finally:
        (folder / "closed").chmod(0o700)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{c.wrong}, {c.where}".replace("`", "") for c in CASES])
def test_a_row_says_what_happens(number: int, tmp_path: Path) -> None:
    assert row(CASES[number], tmp_path) in rows_of_the_table()


def test_the_table_has_a_row_a_case_and_no_other() -> None:
    rows = [cells[:3] for cells in rows_of_the_table()]
    assert rows == [(one.wrong, one.where, one.happens) for one in CASES]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--scene", "indian_pines", "--patch-size", "147"], "patch_size = 147 in 145 x 145 pixels"),
        (["--pair", "nw-ne", "--patch-size", "57"], "target 'indian_pines/ne': patch_size = 57 in 56 x 73 pixels"),
        (["--scene", "indian_pines", "--patch-size", "8"], "patch_size = 8"),
    ],
)
def test_the_training_script_refuses_in_words_and_leaves_nothing(
    flags: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--method", "s2vnet", "--split", "random", "--device", "cpu", "--storage-path", str(tmp_path / "results")]
    monkeypatch.setattr("sys.argv", ["train.py", *given, *flags])
    assert main() == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert list(tmp_path.iterdir()) == []
