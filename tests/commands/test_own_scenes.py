"""Scenes and pairs of a user's own, by name in all scripts; the documented example is read from its page and run."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from sceneshift.catalogue.load import load_both_labelled
from sceneshift.catalogue.user_toml import open_catalogue
from sceneshift.commands.announcements import announce_search, announce_training
from sceneshift.commands.scene_arguments import Export, Import, List, Pair, Show
from sceneshift.commands.scenes import find_scene, list_scenes, run_command
from sceneshift.commands.train_arguments import TrainArgs
from sceneshift.commands.tune_arguments import TuneArgs
from sceneshift.engine.prepared_training import PreparedTraining, prepare_training
from sceneshift.errors import InvalidInputError, MissingDataError, StudyError
from sceneshift.files.arrow_scenes import open_scene, write_scene
from sceneshift.scenes.scene import Scene
from sceneshift.search.prepared import prepare
from sceneshift.seeding import derive_seed
from sceneshift.training.data import DataSpec

ROOT = Path(__file__).resolve().parents[2]
SPACE = ROOT / "search_spaces" / "s2amsnet.py"


def documented() -> str:
    """The example of the users' page."""
    block, _ = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "scenes.md").read_text(), re.DOTALL)
    return block


@pytest.fixture
def campus(tmp_path: Path, make_scene, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The documented example with made files: twelve 8 x 8 fields; the harbour has twice the bands and a class more."""
    monkeypatch.delenv("SCENESHIFT_CATALOGUE", raising=False)
    monkeypatch.delenv("SCENESHIFT_DATA", raising=False)
    scene = make_scene()
    (tmp_path / "campus").mkdir()
    arrays = {"reflectance": 10_000 * scene.cube, "noise": np.zeros_like(scene.cube)}
    scipy.io.savemat(tmp_path / "campus" / "spring.mat", arrays)
    numbers = np.array([255, 10, 20, 30], dtype=np.uint8)
    Image.fromarray(numbers[scene.labels]).save(tmp_path / "campus" / "spring_labels.png")
    coarse, fine = np.arange(450, 801, 50), np.arange(430, 830, 10)
    spectra = np.stack([np.interp(fine, coarse, scene.cube[i, j]) for i, j in ((1, 1), (1, 11), (1, 21), (0, 0))])
    ids = np.array([0, 1, 2, 3])[scene.labels]  # meadow, tree, roof
    rng = np.random.default_rng(1)
    cube = np.asarray(spectra[ids - 1] + rng.normal(0, 0.02, (*ids.shape, len(fine))), dtype=np.float32)
    # grass and lawn are two halves of the meadow
    labels = np.array([0, 1, 3, 4])[ids]
    labels[20:][labels[20:] == 1] = 2
    harbour = Scene(
        name="harbour",
        cube=cube,
        labels=labels,
        class_names=("grass", "lawn", "tree", "roof"),
        wavelengths_nm=fine.astype(np.float64),
    )
    write_scene(harbour, tmp_path / "harbour.arrow")
    (tmp_path / "scenes.toml").write_text(documented())
    return tmp_path


def training(folder: Path, **changes: object) -> TrainArgs:
    plain = {"method": "cross_entropy", "pair": "campus-harbour", "patch_size": 5, "device": "cpu", "seed": 0}
    named = {"catalogue": str(folder / "scenes.toml"), "storage_path": str(folder / "results"), "split": "random"}
    return TrainArgs(**plain | named | changes)


def prepared_from(arguments: TrainArgs) -> PreparedTraining:
    return prepare_training(arguments.spec(), arguments.options())


def change(folder: Path, old: str, new: str) -> None:
    text = (folder / "scenes.toml").read_text()
    assert old in text
    (folder / "scenes.toml").write_text(text.replace(old, new))


def test_the_list_has_them_and_says_where_they_are_described(campus: Path) -> None:
    listed = list_scenes(None, open_catalogue(str(campus / "scenes.toml"), None))
    assert listed[0] == f"catalogue            {campus}/scenes.toml (--catalogue)"
    lines = {line.split()[0]: line for line in listed if line.startswith("  ")}
    assert lines["campus"].split(maxsplit=1)[1].split("  ")[0] == ("your own, 3 classes, reflectance (numbers / 10000)")
    assert lines["campus"].endswith("here")
    assert lines["harbour"].endswith("here")
    assert lines["campus-harbour"].endswith("campus -> harbour: here")
    (campus / "harbour.arrow").unlink()
    lines = {line.split()[0]: line for line in list_scenes(None, open_catalogue(str(campus / "scenes.toml"), None))}
    assert lines["harbour"].endswith("needs harbour.arrow")
    assert lines["campus-harbour"].endswith("lacks harbour")


def test_what_is_missing_is_listed_with_who_offers_it(campus: Path) -> None:
    lines = list_scenes(str(campus))
    after = lines[lines.index("where files that are missing are offered") :]
    assert any("https://github.com/YuxiangZhang-BIT/Data-CSHSI" in line and "houston13" in line for line in after)
    assert not any("indian_pines" in line for line in after)


def test_shown_exported_and_compared_by_name(campus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalogue = str(campus / "scenes.toml")
    assert run_command(Show(scene="campus", out=str(campus / "c.png"), catalogue=catalogue)) == 0
    assert (campus / "c.png").read_bytes().startswith(b"\x89PNG")
    export = Export(scene="harbour", out=str(campus / "h.npz"), format="npz", catalogue=catalogue)
    assert run_command(export) == 0
    np.testing.assert_array_equal(find_scene(str(campus / "h.npz"), None).cube, find_scene_of(campus, "harbour").cube)
    assert run_command(Pair(pair="campus-harbour", catalogue=catalogue)) == 0
    assert run_command(List(data_dir=str(campus))) == 0
    out = capsys.readouterr().out
    assert out.count(f"{campus}/scenes.toml (--catalogue)") == 3
    assert f"{campus}/scenes.toml" in out
    assert "campus-harbour: 3 shared classes, 8 shared bands" in out
    assert re.search(r"\| meadow +\| 256 \| 256 \|", out)


def find_scene_of(folder: Path, name: str) -> Scene:
    return find_scene(name, None, open_catalogue(str(folder / "scenes.toml"), None))


def test_a_training_is_prepared_from_the_documented_pair(campus: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepared = prepared_from(training(campus))
    assert caplog.messages == []  # the counts are those that are expected
    (pair,), (source,) = prepared.data.pairs, prepared.data.sources
    assert pair.class_names == ("meadow", "tree", "roof")
    assert pair.source.num_bands == pair.target.num_bands == 8
    told = [re.findall("lawn|harbour|meadow|campus", note) for note in pair.notes]
    assert ["lawn", "harbour", "meadow", "campus"] in told
    text = "\n".join(announce_training(prepared))
    assert f"catalogue            {campus}/scenes.toml (--catalogue)" in text
    assert "harbour's 40 resampled" in text
    assert "unit: reflectance" in text
    assert prepared.tags()["units.campus-harbour"] == "reflectance"
    assert source.scene.cube.max() < 2
    assert prepared.settings()["definition.hash.campus-harbour"] == prepared.data.recipes[0].definition_hash


def test_a_search_is_prepared_from_it(campus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCENESHIFT_CATALOGUE", str(campus / "scenes.toml"))
    arguments = TuneArgs(
        pairs=("campus-harbour",), smoke_test=True, split="random", storage_path=str(campus / "results")
    )
    search = prepare(arguments.spec("s2amsnet", SPACE))
    assert [pair.name for pair in search.data.pairs] == ["campus-harbour"]
    assert f"catalogue            {campus}/scenes.toml (SCENESHIFT_CATALOGUE)" in announce_search(search)
    assert search.settings()["definition.hash.campus-harbour"] == search.data.recipes[0].definition_hash


def test_a_resumed_training_refuses_what_was_described_otherwise(campus: Path) -> None:
    prepared_from(training(campus, run_name="r")).open_directory(tracking="sqlite:///nowhere.db")
    again = training(campus, run_name="r", resume=True)
    prepared_from(again).open_directory(tracking="sqlite:///nowhere.db")
    change(campus, "pixels_per_class = [256, 256, 256]", "# no counts")
    (campus / "scenes.toml").write_text((campus / "scenes.toml").read_text() + '[scenes.other]\nstored = "o.arrow"\n')
    prepared_from(again).open_directory(tracking="sqlite:///nowhere.db")  # neither says what is read
    change(campus, '["grass", "lawn"]', '"grass"')  # the target's labels alone: no hash of what is trained on sees it
    with pytest.raises(StudyError, match=r"'[0-9a-f]{16}'.*'[0-9a-f]{16}'"):
        prepared_from(again).open_directory(tracking="sqlite:///nowhere.db")
    (campus / "scenes.toml").unlink()
    with pytest.raises(MissingDataError, match=r"scenes\.toml.*--catalogue"):
        prepared_from(again)


def test_what_is_edited_while_a_study_runs_changes_nothing_in_it(campus: Path) -> None:
    recipe = prepared_from(training(campus)).data.recipes[0]
    before = load_both_labelled(recipe)[1].class_counts.tolist()
    change(campus, '["grass", "lawn"]', '"grass"')
    assert load_both_labelled(recipe)[1].class_counts.tolist() == before


def test_a_name_that_is_nobody_s_is_answered_with_the_nearest_of_all(campus: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"'campus-harbor'.*'campus-harbour'"):
        prepared_from(training(campus, pair="campus-harbor"))
    with pytest.raises(InvalidInputError, match=r"'campsu'.*'campus'"):
        prepared_from(training(campus, pair=None, scene="campsu"))
    with pytest.raises(InvalidInputError, match=r"TOML.*--catalogue"):
        prepared_from(training(campus, catalogue=None))


def test_a_missing_file_is_reported_with_table_key_and_folders_before_the_source_is_read(campus: Path) -> None:
    (campus / "harbour.arrow").unlink()
    (campus / "campus" / "spring.mat").write_bytes(b"not read")
    with pytest.raises(MissingDataError) as error:
        prepared_from(training(campus, data_dir=str(campus / "campus")))
    message = str(error.value)
    assert message.startswith(f"{campus}/scenes.toml, [scenes.harbour], stored: ")
    assert "'harbour.arrow'" in message
    looked_at = [f"{campus}/{path}harbour.arrow" for path in ("", "campus/harbour/", "campus/")]
    assert re.findall(r"/\S+\.arrow", message) == looked_at


@pytest.mark.parametrize("name", ["harbour.arrow", "elsewhere/harbour.arrow"])
def test_a_stored_scene_is_trained_on_by_its_file(campus: Path, name: str) -> None:
    path = campus / name
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        (campus / "harbour.arrow").rename(path)
    prepared = prepared_from(training(campus, pair=None, scene=str(path), catalogue=None, train_fraction=0.5))
    (pair,) = prepared.data.pairs
    assert pair.name == "harbour"
    assert pair.class_names == ("grass", "lawn", "tree", "roof")
    assert prepared.settings()["trained_on"] == "harbour"
    assert not any("definition" in key for key in prepared.settings())
    # The pixels that are drawn hang on the scene's name, wherever its file is.
    assert prepared.data.recipes[0].seed == derive_seed(0, "split", "harbour")


def test_a_stored_scene_that_is_not_there_is_missing(campus: Path) -> None:
    with pytest.raises(MissingDataError, match=r"none\.arrow"):
        prepared_from(training(campus, pair=None, scene=str(campus / "none.arrow")))


def test_a_scene_of_one_s_own_is_divided_like_any_other(campus: Path) -> None:
    prepared = prepared_from(training(campus, pair=None, scene="campus", train_fraction=0.25))
    (pair,) = prepared.data.pairs
    assert len(pair.test_split.train) == 3 * 64
    assert pair.source.wavelengths_nm.tolist() == list(range(450, 801, 50))


def test_a_copy_of_a_stored_scene_is_of_its_acquisition(campus: Path) -> None:
    stored = open_scene(campus / "harbour.arrow")
    write_scene(replace(stored, cube=stored.cube * 2), campus / "again.arrow")
    text = '[scenes.a]\nstored = "harbour.arrow"\n[scenes.b]\nstored = "again.arrow"\n'
    (campus / "scenes.toml").write_text(text + '[pairs.campus-harbour]\nsource = "a"\ntarget = "b"\n')
    with pytest.raises(InvalidInputError, match=r"'a'.*'b'"):
        prepared_from(training(campus))


@pytest.fixture
def bare(tmp_path: Path, make_scene) -> dict[str, object]:
    """A cube and a label map that say nothing of names, numbers and wavelengths, and the flags that do."""
    scene = make_scene()
    np.save(tmp_path / "bare.npy", scene.cube)
    np.save(tmp_path / "bare_labels.npy", np.array([99, 7, 3, 40])[scene.labels])
    return {
        "labels": str(tmp_path / "bare_labels.npy"),
        "class_names": ("soil", "tree", "water"),
        "label_values": (7, 3, 40),
        "unlabelled_values": (99,),
        "wavelengths_nm": tuple(range(400, 480, 10)),
    }


def test_a_file_is_described_by_flags_as_by_a_catalogue(tmp_path: Path, bare: dict[str, object], make_scene) -> None:
    file = str(tmp_path / "bare.npy")
    assert run_command(Import(file=file, out=str(tmp_path / "bare.arrow"), name="mine", **bare)) == 0
    stored = open_scene(tmp_path / "bare.arrow")
    np.testing.assert_array_equal(stored.labels, make_scene().labels)
    assert (stored.name, stored.class_names, stored.footprint.parent) == ("mine", ("soil", "tree", "water"), "mine")
    assert stored.wavelengths_nm.tolist() == list(range(400, 480, 10))
    assert run_command(Show(scene=file, out=str(tmp_path / "bare.png"), **bare)) == 0
    assert run_command(Export(scene=file, out=str(tmp_path / "again.npz"), format="npz", **bare)) == 0
    assert find_scene(str(tmp_path / "again.npz"), None).content_hash == replace(stored, name="bare").content_hash
    fewer = replace(stored, name="other", wavelengths_nm=None)
    write_scene(fewer, tmp_path / "fewer.arrow")
    found = find_scene(str(tmp_path / "fewer.arrow"), None, described={"wavelengths_nm": bare["wavelengths_nm"]})
    assert found.wavelengths_nm.tolist() == stored.wavelengths_nm.tolist()


def test_a_scene_of_a_catalogue_is_imported_by_name(campus: Path) -> None:
    catalogue = str(campus / "scenes.toml")
    assert run_command(Import(file="campus", out=str(campus / "c.arrow"), catalogue=catalogue)) == 0
    stored = open_scene(campus / "c.arrow")
    assert (stored.name, stored.content_hash) == ("campus", find_scene_of(campus, "campus").content_hash)
    with pytest.raises(InvalidInputError, match="--label-values"):
        run_command(Import(file="campus", out=str(campus / "d.arrow"), catalogue=catalogue, label_values=(1, 2, 3)))


def test_a_training_and_a_search_take_a_file_described_by_flags(tmp_path: Path, bare: dict[str, object]) -> None:
    file = str(tmp_path / "bare.npy")
    given = {"scene": file, "split": "random", "storage_path": str(tmp_path / "results"), **bare}
    prepared = prepared_from(
        TrainArgs(method="cross_entropy", patch_size=5, device="cpu", train_fraction=0.25, **given)
    )
    (pair,) = prepared.data.pairs
    assert (pair.name, pair.class_names) == ("bare", ("soil", "tree", "water"))
    assert len(pair.test_split.train) == 3 * 64
    assert pair.source.wavelengths_nm.tolist() == list(range(400, 480, 10))
    again = DataSpec.from_dict(json.loads(json.dumps(prepared.spec.data.as_dict())))
    assert again.load().identity() == prepared.data.identity()
    assert again.described == {**bare, "wavelengths_nm": tuple(bare["wavelengths_nm"])}
    search = prepare(TuneArgs(smoke_test=True, **given).spec("s2amsnet", SPACE))
    assert search.data.pairs[0].class_names == ("soil", "tree", "water")
    other = replace(prepared.spec.data, described={**bare, "label_values": (3, 7, 40)}).load()
    assert other.identity()["definition.hash.bare"] != prepared.data.identity()["definition.hash.bare"]


def test_flags_that_describe_no_file_are_refused(tmp_path: Path, bare: dict[str, object], campus: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"--label-values.*--scene"):
        training(campus, label_values=(1, 2))
    with pytest.raises(InvalidInputError, match="--wavelengths-nm"):
        TuneArgs(pairs=("sw-se",), wavelengths_nm=(400.0, 500.0))
    with pytest.raises(InvalidInputError, match="label_values"):
        prepared_from(training(campus, pair=None, scene="campus", label_values=(1, 2, 3)))
    fewer = bare | {"scene": str(tmp_path / "bare.npy"), "label_values": (7, 3)}
    arguments = TrainArgs(method="cross_entropy", split="random", **fewer)
    with pytest.raises(InvalidInputError, match=r"bare\.npy, label_values: .*\[7, 3\].* 3 "):
        prepared_from(arguments)
    for wrong in ((0.4, 2.5), (-1.0, 500.0)):
        with pytest.raises(InvalidInputError, match="--wavelengths-nm"):
            Import(file="x.npy", out="x.arrow", wavelengths_nm=wrong)


@pytest.mark.slow
def test_the_documented_pair_is_trained_on_and_mapped(campus: Path) -> None:
    line = (
        f"--method cross_entropy --pair campus-harbour --data-dir {campus} --storage-path {campus}/results --epochs 2"
    )
    line += " --run-name r --split random --patch-size 5 --set width=8 --device cpu --threads 1"
    done = subprocess.run(
        [sys.executable, "experiments/train.py", *line.split()], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert f"catalogue            {campus}/scenes.toml" in done.stdout
    report = campus / "results" / "training" / "r" / "report"
    assert np.load(report / "map_campus-harbour.npy").shape == (40, 30)
    assert json.loads((report / "summary.json").read_text())["units"] == {"campus-harbour": "reflectance"}
    assert "reflectance" in (report / "per_class.md").read_text()
    assert (report / "map_campus-harbour.png").exists()
    assert sum(map(sum, json.loads((report / "summary.json").read_text())["confusion"])) == 768
