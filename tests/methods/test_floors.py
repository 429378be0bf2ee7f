"""Spectral floors: what they choose, what they are fitted on, and what they never see."""

from dataclasses import replace

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.methods import floors
from sceneshift.methods.floors import FLOOR_NORMALIZATIONS, FLOORS, fit_floor
from sceneshift.methods.spectral import RbfSvm
from sceneshift.scenes.normalization import UNITLESS
from sceneshift.splits.source import SourceDomain
from sceneshift.splits.split import everything_split


@pytest.mark.parametrize("name", FLOORS)
class TestEveryFloor:
    def test_it_finds_the_classes_of_its_source(self, name, tiny_source):
        floor = fit_floor(name, [tiny_source], seed=0)
        held_back = tiny_source.split.validation
        predicted = floor.predict(tiny_source.scene.cube.reshape(-1, 8)[held_back])
        assert predicted.dtype == np.int64
        assert (predicted == tiny_source.labels_of(held_back)).mean() > 0.9
        assert floor.validation_aa > 0.9
        assert floor.num_pixels == len(tiny_source.split.train)
        assert floor.normalization in FLOOR_NORMALIZATIONS
        assert set(floor.settings) == set(FLOORS[name].grid)
        assert floor.seconds > 0

    def test_the_same_seed_gives_the_same_floor(self, name, tiny_source):
        spectra = tiny_source.scene.cube.reshape(-1, 8)
        one, other = (fit_floor(name, [tiny_source], seed=3) for _ in range(2))
        assert (one.normalization, one.settings, one.validation_aa) == (
            other.normalization,
            other.settings,
            other.validation_aa,
        )
        np.testing.assert_array_equal(one.predict(spectra), other.predict(spectra))

    def test_labels_beyond_the_training_pixels_change_nothing(self, name, tiny_source):
        scene, split = tiny_source.scene, tiny_source.split
        labels = np.zeros(scene.labels.size, dtype=np.int64)
        labels[split.train] = scene.labels.ravel()[split.train]
        # No validation pixel has its label any more.
        blind = SourceDomain(
            pair_name=tiny_source.pair_name,
            scene=replace(scene, labels=labels.reshape(scene.shape)),
            split=replace(split, validation=np.empty(0, dtype=np.int64), scored_classes=(), kind="all"),
        )
        spectra = scene.cube.reshape(-1, 8)
        np.testing.assert_array_equal(
            fit_floor(name, [blind], seed=0).predict(spectra), fit_floor(name, [tiny_source], seed=0).predict(spectra)
        )

    def test_only_allowed_normalizations_are_tried(self, name, tiny_source):
        floor = fit_floor(name, [tiny_source], seed=0, normalizations=UNITLESS)
        assert floor.normalization == "l2-then-standardize"
        with pytest.raises(InvalidInputError, match="none"):
            fit_floor(name, [tiny_source], seed=0, normalizations=("none",))

    def test_a_source_of_one_block_takes_the_first_of_everything(self, name, tiny_scene):
        labels = np.zeros_like(tiny_scene.labels)
        labels[0, :6] = (1, 2, 3, 1, 2, 3)
        scene = replace(tiny_scene, labels=labels)
        source = SourceDomain(pair_name="small", scene=scene, split=everything_split(scene, 5))
        floor = fit_floor(name, [source], seed=0)
        assert floor.validation_aa is None
        assert floor.normalization == FLOOR_NORMALIZATIONS[0]
        assert floor.settings == {key: values[0] for key, values in FLOORS[name].grid.items()}


def test_a_fit_of_quadratic_cost_takes_no_more_than_so_many_pixels(tiny_source, monkeypatch):
    monkeypatch.setattr(RbfSvm, "most_pixels", 50)
    floor = fit_floor("rbf_svm", [tiny_source], seed=0)
    assert floor.num_pixels == 50
    assert floor.classifier.shape_fit_[0] == 50


def test_choosing_is_by_blocks_of_which_none_is_on_both_sides(tiny_source):
    pixels = np.array(tiny_source.split.train)
    blocks = floors._blocks(pixels, tiny_source.scene.shape)
    folds = floors._folds(blocks, tiny_source.labels_of(tiny_source.split.train), seed=0)
    assert len(folds) == 4
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(pixels)))
    for train, test in folds:
        assert not set(blocks[train]) & set(blocks[test])


def test_an_unknown_floor_is_answered_with_the_nearest(tiny_source):
    with pytest.raises(InvalidInputError, match=r"'rbf_svn'.*'rbf_svm'"):
        fit_floor("rbf_svn", [tiny_source], seed=0)
