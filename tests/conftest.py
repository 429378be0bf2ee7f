"""What several tests share: a tiny labelled scene, a source domain on it, and one thread for torch.

One thread makes sums add up in one order, so runs can be compared bit for bit, and leaves the other cores alone.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from sceneshift.scenes.block_split import block_split
from sceneshift.scenes.scene import Scene
from sceneshift.scenes.source import SourceDomain


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def no_tf32() -> Iterator[None]:
    """Convolutions of a GPU in float32 proper, not in TF32's ten bits."""
    before = torch.backends.cudnn.conv.fp32_precision
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    yield
    torch.backends.cudnn.conv.fp32_precision = before


@pytest.fixture(scope="session")
def make_scene() -> Callable[..., Scene]:
    """Build a 40 x 30 x 8 scene: twelve 8 x 8 fields of three classes, unlabelled strips between them.

    Every class has a spectrum of its own and 256 pixels in four fields; another seed gives other spectra and noise.
    """

    def make(seed: int = 0, *, name: str = "tiny") -> Scene:
        rng = np.random.default_rng(seed)
        labels = np.zeros((40, 30), dtype=np.int64)
        for row in range(4):
            for column in range(3):
                field = slice(10 * row + 1, 10 * row + 9), slice(10 * column + 1, 10 * column + 9)
                labels[field] = 1 + (row + column) % 3
        spectra = rng.uniform(0.2, 1.0, size=(4, 8))
        cube = spectra[labels] + rng.normal(0, 0.05, size=(40, 30, 8))
        return Scene(
            name=name,
            cube=cube.astype(np.float32),
            labels=labels,
            class_names=("soil", "tree", "water"),
        )

    return make


@pytest.fixture(scope="session")
def tiny_scene(make_scene: Callable[..., Scene]) -> Scene:
    return make_scene()


@pytest.fixture(scope="session")
def make_source(make_scene: Callable[..., Scene]) -> Callable[..., SourceDomain]:
    """Build the source domain of a named pair: a tiny scene with 30 training pixels a class, patches up to 5."""

    def make(pair_name: str = "tiny-pair", seed: int = 0) -> SourceDomain:
        scene = make_scene(seed)
        split = block_split(scene, patch_size=5, seed=3).thinned(scene, pixels_per_class=30)
        return SourceDomain(pair_name=pair_name, scene=scene, split=split)

    return make


@pytest.fixture(scope="session")
def tiny_source(make_source: Callable[..., SourceDomain]) -> SourceDomain:
    return make_source()
