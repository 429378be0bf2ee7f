"""``scenes.py simulate``: what it writes is what the library makes, and what it refuses costs nothing."""

import json
import pickle
import shlex
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.catalogue.user_toml import read_catalogue
from sceneshift.commands import simulate as simulate_commands
from sceneshift.commands.scenes import run_command
from sceneshift.commands.simulate import build_recipe, simulate_to_folder
from sceneshift.commands.simulate_arguments import Simulate
from sceneshift.commands.train_arguments import TrainArgs
from sceneshift.engine.prepared_training import prepare_training
from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.files.arrow_scenes import open_scene
from sceneshift.scenes.mapped_arrays import is_stored
from sceneshift.simulation.ground_shifts import Season
from sceneshift.simulation.library import EndmemberLibrary
from sceneshift.simulation.mixing import Mixing, Variability
from sceneshift.simulation.sensor_shifts import Atmosphere
from sceneshift.simulation.simulate import simulate
from sceneshift.simulation.spec import Ground, Simulation

FILES = {
    *("source.arrow", "target.arrow", "source_abundances.npz", "target_abundances.npz"),
    *("source.png", "target.png", "scenes.toml", "simulation.json"),
}


@pytest.fixture
def command(tmp_path):
    def make(**changes):
        return Simulate(**{"out": str(tmp_path / "pair"), "size": (24, 20), "area": 4.0, **changes})

    return make


@pytest.fixture
def with_wavelengths(tiny_scene):
    return replace(tiny_scene, wavelengths_nm=np.linspace(450, 950, 8))


@pytest.fixture
def library_file(tmp_path):
    lines = [
        "wavelength_nm,soil,leaf,water",
        *(f"{450 + 50 * b},0.{2 + b},0.{9 - b},0.0{5 - b // 2}" for b in range(6)),
    ]
    (tmp_path / "library.csv").write_text("\n".join(lines))
    return tmp_path / "library.csv"


def test_the_folder_holds_what_the_library_makes(command, with_wavelengths, tmp_path):
    made = command(
        season=0.5,
        atmosphere=0.4,
        mixing="gbm",
        seed=3,
        shares=(3.0, 1.0, 1.0),
        set=("season.share=0.1", "atmosphere.depth=0.5", "ground.softness=0.3", "mixing.gamma=0.7"),
    )
    lines = simulate_to_folder(made, with_wavelengths)
    folder = tmp_path / "pair"
    assert {path.name for path in folder.iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["pair"]
    expected = simulate(
        Simulation(
            library=EndmemberLibrary.from_scene(with_wavelengths),
            shape=(24, 20),
            seed=3,
            mixing=Mixing(model="gbm", gamma=0.7),
            variability=Variability(scaling=0.05, perturbation=1.0),
            ground=Ground(length=4.0, softness=0.3, proportions=(3.0, 1.0, 1.0)),
            shifts=(Atmosphere(strength=0.4, depth=0.5), Season(strength=0.5, share=0.1)),
        )
    )
    for side in ("source", "target"):
        scene = open_scene(folder / f"{side}.arrow", verify=True)
        assert scene.content_hash == getattr(expected, side).content_hash
        assert scene.name == f"simulated/{side}"
        with np.load(folder / f"{side}_abundances.npz", allow_pickle=False) as truth:
            np.testing.assert_allclose(truth["abundances"].sum(axis=2), 1, atol=1e-5)
            np.testing.assert_array_equal(truth["abundances"], getattr(expected, f"{side}_truth").abundances)
            assert truth["endmembers"].shape == (8, 3)
            assert tuple(truth["materials"]) == scene.class_names
            dominant = truth["abundances"].argmax(axis=2) + 1
        assert (scene.labels == np.where(scene.labels > 0, dominant, 0)).all()
        assert (folder / f"{side}.png").read_bytes().startswith(b"\x89PNG")
    applied = json.loads((folder / "simulation.json").read_text())["applied"]
    assert applied["shifts"]["season"]["share"] == 0.1
    text = "\n".join(lines)
    assert "seed 3; shifts: season 0.5, atmosphere 0.4" in text
    assert f"--pair simulated --catalogue {folder / 'scenes.toml'}" in text


def test_the_catalogue_names_both_scenes_and_the_pair_a_dot_in_the_name_or_not(command, tiny_scene, tmp_path):
    simulate_to_folder(command(name="sim.v1"), tiny_scene)
    assert tomllib.loads((tmp_path / "pair" / "scenes.toml").read_text()) == {
        "scenes": {"sim.v1-source": {"stored": "source.arrow"}, "sim.v1-target": {"stored": "target.arrow"}},
        "pairs": {"sim.v1": {"source": "sim.v1-source", "target": "sim.v1-target"}},
    }


def test_a_training_takes_the_pair_and_maps_both_scenes_files(command, tiny_scene, tmp_path):
    simulate_to_folder(command(name="sim.v1", size=(48, 48)), tiny_scene)
    of = {"method": "cross_entropy", "patch_size": 5, "device": "cpu", "storage_path": str(tmp_path / "results")}
    catalogue = str(tmp_path / "pair" / "scenes.toml")
    arguments = TrainArgs(pair="sim.v1", catalogue=catalogue, by_field=True, **of)
    training = prepare_training(arguments.spec(), arguments.options()).data
    assert training.pairs[0].class_names == tiny_scene.class_names
    assert training.sources[0].split.kind == "fields"
    for scene in (training.pairs[0].target, pickle.loads(pickle.dumps(training.sources[0])).scene):
        assert is_stored(scene.cube)
    arguments = TrainArgs(scene="sim.v1-target", catalogue=catalogue, **of)
    (inside,) = prepare_training(arguments.spec(), arguments.options()).data.pairs
    assert is_stored(inside.source.cube)
    assert is_stored(inside.target.cube)


def test_two_simulated_sources_and_a_third_scene_are_the_pair_that_a_comparison_names(command, tiny_scene, tmp_path):
    root = Path(__file__).resolve().parents[2]
    catalogue = tmp_path / "comparisons" / "scenes" / "several_sources.toml"
    catalogue.parent.mkdir(parents=True)
    shutil.copyfile(root / "comparisons" / "scenes" / "several_sources.toml", catalogue)
    simulated = tmp_path / "results" / "simulated"
    for seed, (name, shift) in enumerate({"clear_hazy": "added_noise", "early_late": "illumination"}.items()):
        made = command(out=str(simulated / name), name=name, seed=seed, size=(48, 40), **{shift: 0.5})
        simulate_to_folder(made, tiny_scene)
    found = read_catalogue(catalogue)
    one = load_pair(NamedPair(name="clear-late", catalogue=found))
    pair = load_pair(NamedPair(name="clear+hazy-late", catalogue=found))
    assert [source.class_names for source in pair.sources] == [tiny_scene.class_names] * 2
    assert [source.labels.shape for source in pair.sources] == [(48, 40)] * 2
    clear, hazy = pair.sources
    assert clear.content_hash == one.source.content_hash != hazy.content_hash
    np.testing.assert_array_equal(pair.target.cube, one.target.cube)


def test_spectra_of_a_scene_in_the_user_s_catalogue(command, tiny_scene, tmp_path, capsys):
    simulate_to_folder(command(), tiny_scene)
    again = {"scene": "simulated-target", "out": str(tmp_path / "again"), "name": "again"}
    assert run_command(command(catalogue=str(tmp_path / "pair" / "scenes.toml"), **again)) == 0
    assert open_scene(tmp_path / "again" / "source.arrow").class_names == tiny_scene.class_names
    assert "catalogue " in capsys.readouterr().out


def test_materials_of_a_file(command, library_file, tmp_path, capsys):
    assert run_command(command(library=str(library_file), classes=("water", "soil"), sensor_response=0.5)) == 0
    scene = open_scene(tmp_path / "pair" / "source.arrow")
    assert scene.class_names == ("water", "soil")
    assert scene.wavelengths_nm.tolist() == [450, 500, 550, 600, 650, 700]
    assert "shifts: sensor response 0.5" in capsys.readouterr().out
    walks = build_recipe(command(library=str(library_file), set=("library.relative_std=0.2",)), None).library
    assert walks.variations.shape == (3, 4, 6)
    assert build_recipe(command(library=str(library_file), perturbation=0.0), None).library.variations is None
    with pytest.raises(InvalidInputError, match=r"'watr'.*'water'"):
        build_recipe(command(library=str(library_file), classes=("watr", "soil")), None)
    with pytest.raises(MissingDataError, match=r"none\.csv"):
        build_recipe(command(library=str(tmp_path / "none.csv")), None)


def test_even_steps_replace_wavelengths(command, tiny_scene, with_wavelengths):
    with pytest.raises(InvalidInputError, match=r"--atmosphere.*--wavelengths-nm 400.*2500"):
        build_recipe(command(atmosphere=0.1), tiny_scene)
    recipe = build_recipe(command(atmosphere=0.1, wavelengths_nm=(450.0, 800.0)), tiny_scene)
    assert recipe.library.wavelengths_nm.tolist() == np.linspace(450, 800, 8).tolist()
    with pytest.raises(InvalidInputError, match=r"'tiny'.*--wavelengths-nm"):
        build_recipe(command(wavelengths_nm=(450.0, 800.0)), with_wavelengths)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"season": 1.5}, r"strength = 1.5.*0.*1"),
        ({"season": 0.5, "set": ("season.shar=0.1",)}, "'share'"),
        ({"set": ("seasn.share=0.1",)}, r"'seasn'.*'season'"),
        ({"set": ("season.share=0.1",)}, r"--season.*0"),
        ({"set": ("library.relative_std=0.1",)}, "relative_std"),
        ({"set": ("ground.softness=-1",)}, r"softness = -1.*0"),
        ({"classes": ("soil", "rock")}, "rock"),
        ({"shares": (1.0, 2.0)}, "2 proportions for 3 materials"),
        ({"size": (0, 5)}, "shape's rows = 0"),
        ({"snr": -1.0}, "noise: snr = -1"),
        ({"name": "west-east"}, "west-east"),
    ],
)
def test_wrong_settings_are_reported_before_anything_is_made(command, tiny_scene, tmp_path, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        simulate_to_folder(command(**changes), tiny_scene)
    assert list(tmp_path.iterdir()) == []


def test_without_noise_and_shift_the_same_ground_is_the_source_itself(command, tiny_scene, tmp_path):
    lines = simulate_to_folder(command(snr=0.0, same_ground=True), tiny_scene)
    source, target = (open_scene(tmp_path / "pair" / f"{side}.arrow") for side in ("source", "target"))
    np.testing.assert_array_equal(source.cube, target.cube)
    assert any("unseen" in line for line in lines)


def test_the_command_that_trains_on_it_is_quoted_for_a_shell(command, tiny_scene, tmp_path):
    out = tmp_path / "it's here"
    last = simulate_to_folder(command(out=str(out)), tiny_scene)[-1]
    assert shlex.split(last)[-2:] == ["--catalogue", str(out / "scenes.toml")]


def test_a_folder_that_exists_is_left_alone(command, tiny_scene, tmp_path):
    (tmp_path / "pair").mkdir()
    with pytest.raises(InvalidInputError, match="/pair"):
        simulate_to_folder(command(), tiny_scene)
    assert list((tmp_path / "pair").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match="/file"):
        simulate_to_folder(command(out=str(tmp_path / "file" / "pair")), tiny_scene)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (MemoryError(), r"--size 24.*20.*8 bands"),
        (InvalidInputError("no picture"), "no picture"),
    ],
)
def test_a_failure_leaves_nothing_behind(command, tiny_scene, tmp_path, monkeypatch, error, message):
    def fail(path, scene):
        raise error

    monkeypatch.setattr(simulate_commands, "draw_scene", fail)
    with pytest.raises(InvalidInputError, match=message):
        simulate_to_folder(command(), tiny_scene)
    assert list(tmp_path.iterdir()) == []
