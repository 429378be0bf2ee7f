"""What a floor reaches where trials are scored."""

import numpy as np
import pytest

from sceneshift.closing.floor_scores import floor_on_validation
from sceneshift.methods.floors import fit_floor
from sceneshift.scores import Scores
from sceneshift.training.data import DataSpec


def test_a_floor_is_scored_on_the_validation_pixels_of_every_pair_s_sources() -> None:
    data = DataSpec(pairs=("sw-se", "west-east"), patch_size=5, pixels_per_class=30, seed=3).load()

    found = floor_on_validation(data, seed=1)

    expected = []
    for pair in data.pairs:
        (source,) = data.sources_of(pair.name)
        pixels = source.split.validation
        predicted = fit_floor("logistic_regression", [source], seed=1).predict(
            source.scene.cube.reshape(-1, source.scene.num_bands)[pixels]
        )
        expected.append(
            Scores.from_labels(source.labels_of(pixels), predicted, num_classes=source.scene.num_classes).aa
        )
    assert found == pytest.approx(np.mean(expected))
    assert 0.2 < found < 1
