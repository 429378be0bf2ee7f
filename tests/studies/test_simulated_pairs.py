import tomllib
from pathlib import Path

import numpy as np
import pytest

from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.catalogue.user_toml import read_catalogue
from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.simulation.shift_bank import BANK_KINDS
from sceneshift.studies.simulated_pairs import SimulatedPairFile, store_simulated_pairs

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "selection_study"

SMALL = """
name = "small"
seed = 3
shape = [24, 20]
[library]
scene = "indian_pines"
class_names = ["Wheat", "Woods"]
first_last_nm = [400, 2500]
[ground]
length = 4.0
[shifts.season]
strength = 0.5
"""


def test_comparisons_find_the_simulated_pair_where_the_study_makes_it():
    (path,) = (path for path in FOLDER.glob("*.toml") if path.stem == "simulated-a")
    file = SimulatedPairFile.read(path)
    root = FOLDER.parents[1]
    catalogue = tomllib.loads((root / "comparisons" / "scenes" / "simulated_a.toml").read_text())
    made = root / "selection_work" / "simulated" / f"{file.name}-{file.source_hash}"
    assert {
        (root / "comparisons" / "scenes" / scene["stored"]).resolve() for scene in catalogue["scenes"].values()
    } == {made / "source.arrow", made / "target.arrow"}
    assert [*catalogue["pairs"]] == [file.name]


def test_the_two_pairs_have_other_kinds_of_shifts_than_the_bank_and_each_other():
    kinds = {}
    bank = {kind.name.replace(" ", "_") for kind in BANK_KINDS}
    for path in FOLDER.glob("*.toml"):
        file = SimulatedPairFile.read(path)
        kinds[file.name] = set(file.content["shifts"])
        assert kinds[file.name].isdisjoint(bank)
    assert set(kinds) == {"simulated-a", "simulated-b"}
    assert kinds["simulated-a"].isdisjoint(kinds["simulated-b"])


def test_a_stored_pair_is_found_by_name_and_made_once(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    file = SimulatedPairFile.read(path)
    catalogue = store_simulated_pairs([file], tmp_path / "stored")
    pair = load_pair(NamedPair(name="small", catalogue=read_catalogue(catalogue)))
    assert pair.source.shape == pair.target.shape == (24, 20)
    assert pair.class_names == ("Wheat", "Woods")
    assert not np.array_equal(pair.source.cube, pair.target.cube)
    (stored,) = (tmp_path / "stored").glob("*/target.arrow")
    made = stored.stat().st_mtime_ns
    store_simulated_pairs([file], tmp_path / "stored")
    assert stored.stat().st_mtime_ns == made


def test_the_pair_that_is_committed_is_the_one_that_its_file_describes():
    simulation = SimulatedPairFile.read(FOLDER / "simulated-a.toml").simulation()
    assert (simulation.name, simulation.seed, simulation.shape) == ("simulated-a", 101, (96, 96))
    assert simulation.library.num_materials == 5


@pytest.mark.parametrize(
    "change",
    [
        ("[ground]", "[grounds]"),
        ("length", "lenght"),
        ("[shifts.season]", "[shifts.sesaon]"),
        ("seed = 3", ""),
        ("strength = 0.5", "strength = 2.0"),
    ],
    ids=["table", "setting", "shift", "missing", "range"],
)
def test_a_wrong_description_is_refused_with_its_file(tmp_path, change):
    path = tmp_path / "small.toml"
    path.write_text(SMALL.replace(*change), encoding="utf-8")
    with pytest.raises(InvalidInputError, match="small"):
        SimulatedPairFile.read(path).simulation()


def test_a_description_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(MissingDataError):
        SimulatedPairFile.read(tmp_path / "none.toml")
