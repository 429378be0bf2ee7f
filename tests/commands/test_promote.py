"""Promotion in a registry with three small models of the pair west-east, as searches leave them."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.catalogue.target import open_target
from sceneshift.catalogue.user_toml import read_catalogue
from sceneshift.closing import promotion
from sceneshift.commands import promote as promote_module
from sceneshift.commands.promote import run_promotion
from sceneshift.commands.promote_arguments import PromoteArgs
from sceneshift.methods.cross_entropy import CrossEntropy, CrossEntropyConfig
from sceneshift.scenes.normalization import Normalization
from sceneshift.scores import Scores
from sceneshift.splits.blocks import block_split
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import everything_split
from sceneshift.tracking.backend import TrackingBackend
from sceneshift.tracking.model_description import ModelDescription
from sceneshift.tracking.models import load_scene_model, log_and_register
from sceneshift.tracking.registry import find_version, make_champion
from sceneshift.tracking.search_run import SearchRun
from sceneshift.tracking.trained_on import TrainedOn

pytestmark = pytest.mark.slow

RECIPE = NamedPair(name="west-east")
NAME = "cross_entropy-indian_pines-west"


def register(client, run_id, pair, *, weights_seed, split_seed, alias, refitted=False, recipe=RECIPE):
    """A network of random weights, and the split it says it was trained, or chosen, by."""
    config = CrossEntropyConfig(patch_size=5, width=8)
    torch.manual_seed(weights_seed)
    description = ModelDescription.of(
        method="cross_entropy",
        config=config,
        sources=[pair.source],
        normalization=Normalization(name="l2-per-pixel"),
    )
    split = block_split(pair.source, patch_size=5, seed=split_seed)
    source = SourceDomain(pair_name=pair.name, scene=pair.source, split=split)
    log_and_register(
        client,
        run_id=run_id,
        alias=alias,
        classifier=CrossEntropy.build_classifier(config, bands=pair.source.num_bands, classes=len(pair.class_names)),
        description=description,
        tags={"pair": pair.name, "selection": "source validation, no target label used"},
    )
    refit = {
        "registered": [replace(source, split=everything_split(source.scene, source.split.patch_size))],
        "predicted": answers_of_the_chosen(split),
    }
    TrainedOn.of(recipe, [source], source_hash=pair.source.content_hash, **(refit if refitted else {})).save(
        client, run_id
    )
    return split


def answers_of_the_chosen(split):
    return np.random.default_rng(0).integers(0, 5, len(split.validation))


@pytest.fixture(scope="module")
def pair():
    return load_pair(RECIPE)


@pytest.fixture(scope="module")
def made(tmp_path_factory, pair):
    """The registry, made once: 1 is champion; 2 the candidate, by the same split; 3 by another.

    4 was chosen by the first split and trained on every field since.
    """
    directory = tmp_path_factory.mktemp("made")
    backend = TrackingBackend(uri=f"sqlite:///{directory / 'mlflow.db'}", artifact_root=directory / "artifacts")
    splits = []
    for number, (split_seed, alias) in enumerate([(0, "champion"), (0, "candidate"), (1, "other"), (0, "refitted")]):
        mirror = SearchRun(backend, study_name=f"s{number}", metric="val/aa", tags={}, params={})
        splits.append(
            register(
                mirror.client,
                mirror.run_id,
                pair,
                weights_seed=number,
                split_seed=split_seed,
                alias=alias,
                refitted=alias == "refitted",
            )
        )
        mirror.close("FINISHED")
    return directory, splits


@pytest.fixture
def storage(made, tmp_path, monkeypatch):
    """A copy of the registry's database; the models are where they lay."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(made[0] / "mlflow.db", tmp_path / "mlflow.db")
    return tmp_path


def promote(storage, **flags):
    return run_promotion(PromoteArgs(storage_path=str(storage), **{"model": NAME, "yes": True, **flags}))


def client_of(storage):
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{storage}/mlflow.db")
    return mlflow.MlflowClient()


def aliases(storage, name=NAME):
    return {alias: str(n) for alias, n in client_of(storage).get_registered_model(name).aliases.items()}


def line(scores):
    return f"{100 * scores.oa:>8.1f}{100 * scores.aa:>8.1f}{scores.kappa:>8.3f}"


def test_both_are_shown_on_the_same_validation_pixels_and_the_candidate_takes_over(
    storage, made, pair, capsys, monkeypatch
):
    def refuse(recipe):
        raise AssertionError(f"{recipe} was opened")

    monkeypatch.setattr(promotion, "open_target", refuse)
    assert promote(storage) == 0
    printed = capsys.readouterr().out
    client = client_of(storage)
    pixels = made[1][1].validation
    truth = pair.source.labels.ravel()[pixels] - 1
    for number, name in (("1", "version 1 (champion)"), ("2", "version 2")):
        class_map = load_scene_model(f"models:/{NAME}/{number}").map_scene(pair.source)
        scores = Scores.from_labels(truth, class_map.ravel()[pixels] - 1, num_classes=5)
        assert f"{name:<24}{line(scores)}" in printed
    assert f"{len(pixels)} validation pixels" in printed
    assert "TARGET" not in printed
    assert aliases(storage) == {"champion": "2", "previous-champion": "1", "other": "3", "refitted": "4"}
    version = client.get_model_version(NAME, "2")
    assert version.tags["selection"].startswith("source validation")
    assert "no target label" in version.tags["selection"]
    assert version.tags["promoted.on"] == "source validation"
    assert "version 1: OA" in version.description


def test_rolling_back_swaps_them_again(storage, capsys):
    client = client_of(storage)
    make_champion(client, find_version(client, NAME, None))
    assert promote(storage, rollback=True) == 0
    assert aliases(storage) == {"champion": "1", "previous-champion": "2", "other": "3", "refitted": "4"}
    assert "is version 1 again" in capsys.readouterr().out


def test_without_a_previous_champion_there_is_nothing_to_go_back_to(storage, capsys):
    assert promote(storage, rollback=True) == 2
    assert "previous-champion" in capsys.readouterr().err


def test_pixels_the_champion_trained_on_are_left_out(storage, made, pair, capsys):
    assert promote(storage, version="3") == 0
    printed = capsys.readouterr().out
    old, new = made[1][0], made[1][2]
    left = np.setdiff1d(new.validation, old.train)
    assert 0 < len(left) < len(new.validation)
    assert f"{len(new.validation) - len(left)} of {len(new.validation)} validation pixels" in printed
    assert f"{len(left)} validation pixels of {pair.source.name}:" in printed


def test_of_a_model_trained_on_every_field_the_network_that_was_chosen_is_compared(storage, made, pair, capsys):
    assert promote(storage, version="4") == 0
    printed = capsys.readouterr().out
    split = made[1][3]
    truth = pair.source.labels.ravel()[split.validation] - 1
    chosen = Scores.from_labels(truth, answers_of_the_chosen(split), num_classes=5)
    assert f"{'version 4':<24}{line(chosen)}" in printed
    assert f"{len(split.validation)} validation pixels of {pair.source.name}:" in printed
    # Now it is the champion, and one by another split is compared on what was held back from both.
    assert promote(storage, version="3") == 0
    printed = capsys.readouterr().out
    both = np.intersect1d(made[1][2].validation, split.validation)
    answers = answers_of_the_chosen(split)[np.isin(split.validation, both)]
    expected = Scores.from_labels(pair.source.labels.ravel()[both] - 1, answers, num_classes=5)
    assert f"{'version 4 (champion)':<24}{line(expected)}" in printed


def test_target_labels_are_read_only_with_a_warning_counted_and_written_down(storage, pair, capsys):
    assert promote(storage, on="target") == 0
    printed = capsys.readouterr().out
    assert re.search(r"TARGET LABELS.*west-east.*\b1\b", printed)
    door = open_target(RECIPE)
    for number in ("1", "2"):
        class_map = load_scene_model(f"models:/{NAME}/{number}").map_scene(pair.target)
        assert line(door.score(class_map)) in printed
    client = client_of(storage)
    version = client.get_model_version(NAME, "2")
    assert version.tags["selection"].startswith("target labels of west-east")
    assert re.search(r"\*\*by target labels\*\*.*west-east.*\b1\b", version.description)
    assert client.get_registered_model(NAME).tags["target.openings.west-east"] == "1"


def test_who_says_no_changes_nothing(storage, monkeypatch, capsys):
    before = aliases(storage)
    scores = Scores(np.eye(5, dtype=np.int64))
    seen = promote_module.Comparison(where="somewhere", scores=[scores, scores])
    monkeypatch.setattr(promote_module, "compare_on_validation", lambda *_, **__: seen)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert promote(storage, yes=False) == 1
    assert "Nothing was changed." in capsys.readouterr().out
    assert aliases(storage) == before


def test_without_a_terminal_nothing_is_read_or_changed(storage, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert promote(storage, yes=False, on="target") == 2
    assert "--yes" in capsys.readouterr().err
    assert client_of(storage).get_registered_model(NAME).tags == {}


def test_the_champion_itself_needs_no_promotion(storage, capsys):
    assert promote(storage, version="1") == 0
    assert "version 1" in capsys.readouterr().out


def test_data_that_has_changed_is_refused(storage, monkeypatch, capsys):
    from sceneshift.scenes.scene import Scene

    monkeypatch.setattr(Scene, "content_hash", property(lambda scene: "0ther"))
    assert promote(storage) == 2
    assert "0ther, expected" in capsys.readouterr().err


def test_own_scenes_that_were_moved_are_found_by_their_catalogue(unit_catalogue, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found, storage, name = Path(unit_catalogue()), tmp_path / "results", "cross_entropy-one"
    storage.mkdir()
    recipe = NamedPair(name="one-two", catalogue=read_catalogue(found))
    backend = TrackingBackend(uri=f"sqlite:///{storage / 'mlflow.db'}", artifact_root=storage / "artifacts")
    splits = []
    for number, alias in enumerate(["champion", "candidate"]):
        mirror = SearchRun(backend, study_name=f"s{number}", metric="val/aa", tags={}, params={})
        splits.append(
            register(
                mirror.client,
                mirror.run_id,
                load_pair(recipe),
                weights_seed=number,
                split_seed=0,
                alias=alias,
                recipe=recipe,
            )
        )
        mirror.close("FINISHED")
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in (found, tmp_path / "one.arrow", tmp_path / "two.arrow"):
        file.rename(moved / file.name)
    assert promote(storage, model=name) == 2
    assert str(found) in capsys.readouterr().err  # the file that the run names
    (tmp_path / "other.toml").write_text(f'[scenes.other]\nstored = "{moved / "one.arrow"}"\n')
    assert promote(storage, model=name, catalogue=str(tmp_path / "other.toml")) == 2
    assert "'one-two'" in capsys.readouterr().err
    assert aliases(storage, name) == {"champion": "1", "candidate": "2"}
    for number, flags in enumerate(({}, {"on": "target"})):
        version = str(2 - number)
        assert promote(storage, model=name, catalogue=str(moved / found.name), version=version, **flags) == 0
        printed = capsys.readouterr().out
        assert f"{moved / found.name} (--catalogue)" in printed
        assert (f"{len(splits[0].validation)} validation pixels" in printed) == (not flags)
        assert aliases(storage, name)["champion"] == version


def test_a_place_without_studies_is_reported_and_nothing_is_made_there(storage, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert promote(empty) == 2
    assert f"{empty}/mlflow.db" in capsys.readouterr().err
    assert list(empty.iterdir()) == []


def test_the_script_names_for_an_unknown_model_what_is_registered(storage):
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "experiments/promote.py", "--model", "nobody", "--storage-path", str(storage)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"'nobody'. Registered: {NAME}." in done.stderr
    assert "Traceback" not in done.stderr
