"""Classifiers of single spectra as modules: they answer as the fit they took over, and load only what fits them."""

from typing import Any

import numpy as np
import pytest
import torch

from sceneshift.methods.floors import FLOORS
from sceneshift.networks.spectral import SpectralClassifier, centre_pixels

BANDS, CLASSES = 6, 3

every_floor = pytest.mark.parametrize("name", FLOORS)


def fitted_and_module(name: str, classes: tuple[int, ...] = (0, 1, 2)) -> tuple[Any, SpectralClassifier]:
    rng = np.random.default_rng(0)
    labels = rng.choice(classes, 60)
    spectra = (rng.normal(size=(60, BANDS)) + 2 * np.eye(BANDS)[labels]).astype(np.float32)
    floor = FLOORS[name]
    config = floor.config_type()
    fitted = floor.fit(config, spectra, labels, seed=3)
    module = floor.build_classifier(config, bands=BANDS, classes=CLASSES)
    module.take(fitted)
    return fitted, module


def test_the_centre_is_the_pixel_a_patch_was_cut_around() -> None:
    patches = torch.arange(2 * 3 * 25).view(2, 3, 5, 5)
    assert centre_pixels(patches).tolist() == [[12, 37, 62], [87, 112, 137]]


@pytest.mark.parametrize("classes", [(0, 1), (1, 2), (0, 2), (0, 1, 2)])
@every_floor
def test_classes_are_the_fit_s_and_one_without_a_training_pixel_is_never_answered(
    name: str, classes: tuple[int, ...]
) -> None:
    fitted, module = fitted_and_module(name, classes)
    seen = np.random.default_rng(1).normal(size=(500, BANDS)).astype(np.float32)
    logits = module(torch.from_numpy(seen)[:, :, None, None])
    assert (logits.shape, logits.dtype) == ((500, CLASSES), torch.float64)
    assert torch.isfinite(logits).all()
    expected = fitted.predict(seen)
    assert set(expected) == set(classes)
    np.testing.assert_array_equal(logits.argmax(dim=1), expected)


@every_floor
def test_a_state_is_loaded_whatever_number_of_vectors_or_nodes_it_has(name: str) -> None:
    _, module = fitted_and_module(name)
    _, of_fewer_classes = fitted_and_module(name, (0, 2))
    patches = torch.randn(50, BANDS, 1, 1, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(of_fewer_classes(patches), module(patches))
    of_fewer_classes.load_state_dict(module.state_dict())
    assert torch.equal(of_fewer_classes(patches), module(patches))


@pytest.mark.parametrize(
    ("name", "bands", "classes"),
    [("logistic_regression", 7, 3), ("logistic_regression", 6, 4), ("rbf_svm", 7, 3), ("random_forest", 6, 4)],
)
def test_a_state_of_other_bands_or_classes_is_refused(name: str, bands: int, classes: int) -> None:
    floor = FLOORS[name]
    other = floor.build_classifier(floor.config_type(), bands=bands, classes=classes)
    with pytest.raises(RuntimeError, match="size mismatch"):
        other.load_state_dict(fitted_and_module(name)[1].state_dict())
