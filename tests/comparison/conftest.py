"""A comparison small enough for tests: two tiny scenes, a spectral floor and a network."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sceneshift.comparison.cells import CellStore
from sceneshift.comparison.comparing import compare
from sceneshift.comparison.listener import ComparisonListener
from sceneshift.comparison.placing import Places
from sceneshift.comparison.spec import read_spec
from sceneshift.files.arrow_scenes import write_scene

SPACES = Path(__file__).resolve().parents[2] / "search_spaces"

TOY = """
pairs = ["one-two"]
methods = [
    "logistic_regression",
    { method = "cross_entropy", label = "CE", settings = { patch_size = 5, width = 8, batch_size = 45 } },
]
epochs = 2
seeds = [0, 1]
num_configurations = 2
profile = "smoke-test"
pixels_per_class = 30
strategies = ["source-blocks", "infomax"]
target_access = "unlabelled"
"""


class Notes(ComparisonListener):
    """Keeps what a comparison was notified of."""

    def __init__(self):
        self.cost = None
        self.ended_cells = []
        self.failures = {}

    def begins(self, prepared, cost):
        self.cost = cost

    def ended(self, cell, outcome, failure):
        self.ended_cells.append(cell)
        if failure is not None:
            self.failures[cell.key] = failure


@pytest.fixture
def spaces():
    return SPACES


@pytest.fixture
def write_toy(tmp_path, unit_catalogue):
    """Write the toy comparison with changes to its lines, and the catalogue of its pair; returns its specification."""

    def write(text=TOY, *, name="toy", **catalogue):
        path = unit_catalogue(**catalogue)
        (tmp_path / f"{name}.toml").write_text(f'{text}\ncatalogue = "{path}"\n')
        return read_spec(tmp_path / f"{name}.toml", spaces=SPACES)

    return write


@pytest.fixture
def toy_text():
    return TOY


@pytest.fixture(scope="session")
def finished(tmp_path_factory, make_scene):
    """The folder of a toy comparison that has been run, how far it came and what was notified."""
    folder = tmp_path_factory.mktemp("finished")
    catalogue = '[pairs.one-two]\nsource = "one"\ntarget = "two"\n'
    for seed, name in enumerate(("one", "two")):
        write_scene(make_scene(seed, name=name), folder / f"{name}.arrow")
        catalogue += f'[scenes.{name}]\nstored = "{name}.arrow"\n'
    (folder / "scenes.toml").write_text(catalogue)
    (folder / "toy.toml").write_text(f'{TOY}\ncatalogue = "{folder}/scenes.toml"\n')
    heard = Notes()
    spec = read_spec(folder / "toy.toml", spaces=SPACES)
    found = compare(spec, folder / "out", places=Places(executor="local"), listener=heard)
    return folder, found, heard


@pytest.fixture
def compared(finished, tmp_path):
    """A finished toy comparison, with a copy of its folder to continue in."""
    folder, found, heard = finished
    shutil.copytree(folder / "out", tmp_path / "out")
    return replace(found, store=CellStore(tmp_path / "out" / "cells")), heard


@pytest.fixture
def run_toy(tmp_path):
    """Run a comparison in this process; returns how far it came and what was notified."""

    def run(spec, *, folder=None, **arguments):
        heard = Notes()
        found = compare(spec, folder or tmp_path / "out", places=Places(executor="local"), listener=heard, **arguments)
        return found, heard

    return run
