"""Spectral floors as methods: what they answer is what scikit-learn answers, on every pixel of an embedded scene."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from sceneshift.catalogue.load import load_pair
from sceneshift.errors import InvalidInputError
from sceneshift.methods.floors import FLOORS, fit_floor
from sceneshift.methods.registry import find_method
from sceneshift.methods.spectral import RbfSvm, SpectralFloor
from sceneshift.seeding import derive_seed
from sceneshift.splits.blocks import block_split
from sceneshift.splits.pair import ScenePair
from sceneshift.splits.source import SourceDomain
from sceneshift.training.checkpoint import CheckpointFolder, weights_hash
from sceneshift.training.evaluation import map_scene
from sceneshift.training.loop import EpochReport, train
from sceneshift.training.pair_run import PairRun
from sceneshift.training.plan import TrainingPlan
from sceneshift.training.workers import Workers

CPU = torch.device("cpu")

every_floor = pytest.mark.parametrize("name", FLOORS)

#: As scikit-learn's users would write them, and the settings that say the same here.
THEIRS: dict[str, tuple[dict[str, Any], Any]] = {
    "logistic_regression": ({"C": 10.0}, lambda _: LogisticRegression(C=10.0, max_iter=2000)),
    "rbf_svm": ({"C": 100.0}, lambda _: SVC(C=100.0)),
    "random_forest": (
        {"min_samples_leaf": 3},
        lambda seed: RandomForestClassifier(100, min_samples_leaf=3, random_state=seed),
    ),
}


@pytest.fixture(scope="module")
def pair() -> ScenePair:
    return load_pair("sw-se")


@pytest.fixture(scope="module")
def source(pair: ScenePair) -> SourceDomain:
    split = block_split(pair.source, patch_size=1, seed=0).thinned(pair.source, pixels_per_class=60)
    return SourceDomain(pair_name=pair.name, scene=pair.source, split=split)


def plan_of(name: str, *, seed: int = 0, **settings: Any) -> TrainingPlan:
    config = find_method(name).config_type.from_mapping(settings)
    return TrainingPlan(method=name, config=config, epochs=1, seed=seed)


def trained(plan: TrainingPlan, source: SourceDomain, **arguments: Any) -> tuple[PairRun, EpochReport]:
    reports: list[EpochReport] = []
    (run,) = train(plan, [source], report=reports.append, **arguments)
    return run, reports[-1]


def seed_of_fit(run: PairRun) -> int:
    """The first number the method draws."""
    generator = torch.Generator().manual_seed(derive_seed(run.method.seed, "draws"))
    return int(torch.randint(2**32, (), generator=generator))


@every_floor
def test_every_pixel_gets_scikit_learn_s_class(name: str, pair: ScenePair, source: SourceDomain) -> None:
    settings, theirs = THEIRS[name]
    run, _ = trained(plan_of(name, **settings), source)
    pixels = np.array(source.split.train)
    spectra = run.normalization.apply(source.scene.cube).reshape(-1, source.scene.num_bands)
    seen = run.normalization.apply(pair.target.cube)
    fitted = theirs(seed_of_fit(run)).fit(spectra[pixels], source.labels_of(pixels))
    expected = fitted.predict(seen.reshape(-1, seen.shape[2])) + 1
    assert len(np.unique(expected)) == source.scene.num_classes
    class_map = map_scene(run.classifier, seen, patch_size=1, device=CPU)
    np.testing.assert_array_equal(class_map.ravel(), expected)


@pytest.mark.parametrize("name", ["logistic_regression", "random_forest"])
def test_softmax_of_the_logits_is_scikit_learn_s_probability(name: str, source: SourceDomain) -> None:
    settings, theirs = THEIRS[name]
    run, _ = trained(plan_of(name, **settings), source)
    pixels = np.array(source.split.train)
    spectra = run.normalization.apply(source.scene.cube).reshape(-1, source.scene.num_bands)
    fitted = theirs(seed_of_fit(run)).fit(spectra[pixels], source.labels_of(pixels))
    some = spectra[::37]
    logits = run.classifier(torch.from_numpy(some)[:, :, None, None])
    np.testing.assert_allclose(logits.softmax(dim=1), fitted.predict_proba(some), atol=1e-5)


@every_floor
def test_the_centre_of_a_larger_patch_is_all_that_is_looked_at(name: str, tiny_source: SourceDomain) -> None:
    single, _ = trained(plan_of(name), tiny_source)
    larger, _ = trained(plan_of(name, patch_size=5), tiny_source)
    assert weights_hash(single.classifier) == weights_hash(larger.classifier)
    patches = torch.randn(20, 8, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(larger.classifier(patches), single.classifier(patches[:, :, 2:3, 2:3]))


@every_floor
def test_a_training_comes_to_what_a_closing_fits_next_to_it(name: str, pair: ScenePair, source: SourceDomain) -> None:
    floor = fit_floor(name, [source], seed=0)
    run, _ = trained(plan_of(name, normalization=floor.normalization, **floor.settings), source)
    spectra = pair.target.cube.reshape(-1, pair.target.num_bands)
    got = map_scene(run.classifier, run.normalization.apply(pair.target.cube), patch_size=1, device=CPU).ravel() - 1
    if name == "random_forest":  # its draws have another seed
        assert (got == floor.predict(spectra)).mean() > 0.8
    else:
        np.testing.assert_array_equal(got, floor.predict(spectra))


@every_floor
def test_it_is_scored_reported_and_learns(name: str, tiny_source: SourceDomain) -> None:
    run, report = trained(plan_of(name), tiny_source)
    assert report.metrics["val/aa"] > 0.9
    assert report.metrics["train/tiny-pair/error"] < 0.05
    assert report.weights == {"tiny-pair": weights_hash(run.classifier)}


@every_floor
def test_a_finished_training_is_taken_back_from_its_checkpoint(
    name: str, tiny_source: SourceDomain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CheckpointFolder(str(tmp_path))
    finished, report = trained(plan_of(name), tiny_source, checkpoints=folder)
    monkeypatch.setattr(SpectralFloor, "fit", lambda *_, **__: pytest.fail("it is fitted already"))
    again, same = trained(plan_of(name), tiny_source, checkpoints=folder)
    assert same.weights == report.weights
    assert weights_hash(again.classifier) == weights_hash(finished.classifier)
    assert again.validate()["tiny-pair"].confusion.tolist() == finished.validate()["tiny-pair"].confusion.tolist()


def test_a_fit_of_quadratic_cost_sees_no_more_than_so_many_pixels(
    tiny_source: SourceDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RbfSvm, "most_pixels", 50)
    run, _ = trained(plan_of("rbf_svm"), tiny_source)
    assert 3 <= len(run.classifier.vectors) <= 50


class TestWhatAFloorCannot:
    @every_floor
    def test_several_epochs_are_refused(self, name: str) -> None:
        with pytest.raises(InvalidInputError, match=rf"epochs = 40.*'{name}'"):
            TrainingPlan(method=name, config=find_method(name).config_type(), epochs=40, seed=0)

    @every_floor
    def test_workers_and_compiling_are_refused(self, name: str, tiny_source: SourceDomain) -> None:
        with pytest.raises(InvalidInputError, match=rf"'{name}'.*2 workers"):
            PairRun(plan_of(name), [tiny_source], CPU, Workers(rank=0, num=2))
        with pytest.raises(InvalidInputError, match=f"'{name}'"):
            TrainingPlan(method=name, config=find_method(name).config_type(), epochs=1, seed=0, compile=True)
