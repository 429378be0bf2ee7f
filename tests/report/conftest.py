"""A small made study: a trial store of eight trials, and what a closing writes next to it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sceneshift.report.uncertainty import FieldCounts
from sceneshift.search.profile import Profile
from sceneshift.search.trial_record import Ended
from sceneshift.search.trial_store import TrialStore
from sceneshift.selection.strategy import SourceBlocks

EPOCHS = 6
PROFILE = Profile(name="made", description="made for a test", epochs=EPOCHS, num_samples=8, grace_epochs=2)
CLASSES = ("soil_a", "tree & bush", "water")


def field_counts(rng: np.random.Generator) -> FieldCounts:
    classes = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    return FieldCounts(classes=classes, predicted=rng.integers(1, 40, size=(len(classes), 3)))


@pytest.fixture(scope="session")
def make_study(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a study's directory: trial 0 the defaults, 1 the winner, 2 to 6 stopped after epoch 2, 7 by time after 4."""

    def make(name: str = "made", *, closed: bool = True, evidence: bool = True, num_trials: int = 8) -> Path:
        directory = tmp_path_factory.mktemp("results") / name
        settings = {
            "method": "s2amsnet",
            "pairs": ["one_<b>", "two"],
            "split": "blocks",
            "profile": "made",
            "epochs": EPOCHS,
            "seed": 3,
            "precision": "float32",
            "search_space.hash": "abc",
            "split.hash.two": "0123",
        }
        store = TrialStore.create(
            directory / "optuna.db",
            name=name,
            seed=3,
            profile=PROFILE,
            strategy=SourceBlocks(),
            settings=settings,
            first_params=[{"lr": 0.01, "width": 32, "flips_on": False}],
        )
        for number in range(num_trials):
            record = store.ask(suggest)
            last = EPOCHS if number < 2 else 4 if number == 7 else 2
            for epoch in range(1, last + 1):
                value = 0.3 + 0.05 * epoch + (0.1 if number == 1 else 0.01 * number)
                metrics = {"val/aa": value, "time/epoch_s": 2.0 + number, "time/steps_s": 1.0}
                store.report(record.number, epoch, metrics, {"two": f"w{epoch}"})
            if number < 2:
                store.complete(number)
            else:
                ended = Ended.TIME_BUDGET if number == 7 else Ended.EARLY_STOP
                found = "time budget of 9 s used up" if number == 7 else "stopped by ASHA after epoch 2"
                store.prune(number, ended, found)
        if closed:
            store.count_opening()
            write_closing(directory / "report", evidence=evidence)
        return directory

    return make


def suggest(trial):
    values = {
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        "width": trial.suggest_categorical("width", [16, 32]),
        "flips_on": trial.suggest_categorical("flips_on", [False, True]),
    }
    if values["flips_on"]:
        values["flips"] = trial.suggest_float("flips", 0, 1)
    return {**values, "patch_size": 5}


def write_closing(folder: Path, *, evidence: bool) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    counts = {pair: {"best": field_counts(rng), "defaults": None} for pair in ("one_<b>", "two")}
    for roles in counts.values():
        roles["defaults"] = other_map(roles["best"], rng)
    rows = [
        {
            "pair": pair,
            "role": role,
            "validation": {"oa": 0.7, "aa": 0.7 if role == "best" else 0.6, "kappa": 0.5},
            "target": found.scores().as_dict(),
        }
        for pair, roles in counts.items()
        for role, found in roles.items()
    ]
    summary = {
        "profile": "made",
        "selection": "highest mean validation AA on the sources, last epoch; no target label used",
        "trials": {"complete": 2, "pruned": 6, "fail": 0, "asked for": 8, "ended by time budget": True},
        "best": {"trial": 1},
        "largest target class": {"one_<b>": 0.5, "two": 0.4},
        "scores": rows,
        "units": {"two": "0–1 by its own extremes (s), reflectance (t)"},
        "tags": {"git.commit": "c0ffee", "git.dirty": "true", "version.torch": "2.13.0"},
        "wall_s": 12.3,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    if evidence:
        (folder / "evidence.json").write_text(json.dumps(made_evidence(counts)))


def other_map(counts: FieldCounts, rng: np.random.Generator) -> FieldCounts:
    """Another map of the same fields."""
    sizes = counts.predicted.sum(axis=1)
    predicted = np.stack([rng.multinomial(size, (0.3, 0.4, 0.3)) for size in sizes])
    return FieldCounts(classes=counts.classes, predicted=predicted)


def made_evidence(counts):
    separation = {"num_pixels": 50, "num_inside_training_patch": 0, "num_overlapping_patches": 17}
    return {
        "command": "tune --pairs two",
        "profile": {"description": "made for a test", "grace_epochs": 2, "pixels_per_class": None},
        "search space": "s2amsnet.py",
        "narrowing": ["normalization: l2-per-pixel; not searched: derivative"],
        "plan": {"trials at once": 2, "CPUs per trial": 1.0},
        "machine": {"processor": "a processor", "memory": "8 GiB"},
        "pairs": {
            pair: {
                "classes": list(CLASSES),
                "source": {"scene": "s", "shape": [9, 9], "flight": "f"},
                "target": {"scene": "t", "shape": [9, 9], "flight": "f"},
                "notes": ["a note on the pair"],
                "scored classes": [0, 1],
                "training pixels": [10, 11, 12],
                "validation pixels": [5, 6, 0],
                "splits": {
                    "validation": {
                        "kind": "blocks",
                        "guard": 3,
                        "leaks": False,
                        "seed": 0,
                        "training pixels": 33,
                        "held-out pixels": 50,
                        "separation": [{"patch_size": size, **separation} for size in (5, 7)],
                    }
                },
                "fields": {
                    role: {"classes": found.classes.tolist(), "predicted": found.predicted.tolist()}
                    for role, found in roles.items()
                },
            }
            for pair, roles in counts.items()
        },
    }
