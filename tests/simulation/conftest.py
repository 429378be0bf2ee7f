"""A small library, leaf, soil and water, and a recipe on it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sceneshift.simulation.library import EndmemberLibrary
from sceneshift.simulation.sensor_shifts import Noise
from sceneshift.simulation.spec import Simulation


@pytest.fixture(scope="session")
def library() -> EndmemberLibrary:
    """Leaf, dry grass, soil and water in 40 bands from 400 to 2400 nm."""
    wavelengths = np.linspace(400, 2400, 40)
    rise = 1 / (1 + np.exp(-(wavelengths - 715) / 20))
    leaf = 0.04 + 0.45 * rise * np.exp(-np.maximum(wavelengths - 1200, 0) / 700)
    soil = 0.1 + 0.25 * (wavelengths - 400) / 2000
    grass = 0.5 * leaf + 0.5 * soil + 0.03 * np.sin(wavelengths / 300)
    water = 0.08 * np.exp(-(wavelengths - 400) / 400) + 0.005
    spectra = np.array([leaf, grass, soil, water], dtype=np.float32)
    bare = EndmemberLibrary(names=("leaf", "grass", "soil", "water"), spectra=spectra, wavelengths_nm=wavelengths)
    return bare.with_random_walks(relative_std=0.08, num_variations=3)


@pytest.fixture
def make_recipe(library: EndmemberLibrary) -> Callable[..., Simulation]:
    """A noiseless 48 x 40 recipe, with changes."""

    def make(**changes: Any) -> Simulation:
        return Simulation(**{"library": library, "shape": (48, 40), "seed": 7, "noise": Noise(snr=None)} | changes)

    return make
