"""Results drawn from known accuracies, and a comparison small enough for tests: two tiny scenes, a floor, a network."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sceneshift.comparison.cells import CellStore
from sceneshift.comparison.comparing import compare
from sceneshift.comparison.listener import ComparisonListener
from sceneshift.comparison.placing import Places
from sceneshift.comparison.results import CellResult, ComparisonResults
from sceneshift.comparison.spec import read_spec
from sceneshift.files.arrow_scenes import write_scene
from sceneshift.scores import Scores

CLASSES = ("soil_a", "tree & bush", "water")

#: Labelled target pixels of each class.
PIXELS = np.array([4000, 2000, 1000])

PAIRS = {"west-east": "indian_pines", "sw-se": "indian_pines", "samson-jasper_ridge": "samson+jasper_ridge"}


def simulate(
    accuracies: Mapping[str, float],
    *,
    pairs: Mapping[str, str] = PAIRS,
    seeds: Sequence[int] = range(5),
    spread: float = 0.01,
    floors: Sequence[str] = (),
    methods: Mapping[str, str] | None = None,
    failed: Sequence[tuple[str, str, int]] = (),
    settings: Sequence[tuple[str, str, str]] = (("tune-once", "40 epochs", "source-blocks"),),
    draw: int = 0,
) -> ComparisonResults:
    """Cells whose accuracy per class is normal around a label's mean.

    Args:
        accuracies: Mean accuracy by label.
        pairs: Group by pair.
        seeds: Seeds of the networks.
        spread: Standard deviation over seeds; floors have none.
        floors: Labels that are floors.
        methods: Method by label, where it is not the label.
        failed: Label, pair and seed of failed cells.
        settings: Protocol, budget and strategy.
        draw: Seed of the simulation.
    """
    rng = np.random.default_rng(draw)
    cells = []
    for protocol, budget, strategy in settings:
        for pair, group in pairs.items():
            for label, accuracy in accuracies.items():
                is_floor = label in floors
                for seed in seeds:
                    noise = 0.0 if is_floor else rng.normal(0, spread)
                    confusion = confusion_of(accuracy + noise)
                    cell = CellResult(
                        pair=pair,
                        group=group,
                        method=(methods or {}).get(label, label),
                        label=label,
                        is_floor=is_floor,
                        protocol=protocol,
                        budget=budget,
                        strategy=strategy,
                        seed=seed,
                        trained_on="fields",
                        configuration=0,
                        epoch=0 if is_floor else 40,
                        epochs=0 if is_floor else 40,
                        seconds=float(rng.uniform(0.5, 2) * (1 if is_floor else 30)),
                        **Scores(confusion).as_dict(),
                        confusion=confusion,
                        class_names=CLASSES,
                    )
                    cells.append(as_failed(cell) if (label, pair, seed) in failed else cell)
    return ComparisonResults(
        name="simulated",
        cells=tuple(cells),
        caption={"pairs": ", ".join(pairs), "split": "blocks", "profile": "laptop", "commit": "c0ffee"},
        joins=dict.fromkeys((strategy for _, _, strategy in settings), 1),
    )


def confusion_of(accuracy: float) -> np.ndarray:
    """(K, K) counts with one accuracy for every class, as far as pixels can be divided."""
    hits = np.round(PIXELS * np.clip(accuracy, 0, 1)).astype(np.int64)
    confusion = np.diag(hits)
    confusion[np.arange(len(PIXELS)), (np.arange(len(PIXELS)) + 1) % len(PIXELS)] = PIXELS - hits
    return confusion


def as_failed(cell: CellResult, reason: str = "the loss became infinite") -> CellResult:
    return replace(cell, oa=np.nan, aa=np.nan, kappa=np.nan, confusion=np.zeros_like(cell.confusion), failed=reason)


@pytest.fixture(scope="session")
def simulated() -> Callable[..., ComparisonResults]:
    return simulate


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
