"""Pixels that two cubes share are found by content; scenes that only look alike share none."""

import numpy as np
import pytest

from sceneshift.catalogue.indian_pines import REGIONS, load_indian_pines
from sceneshift.scenes.shared_pixels import find_shared_pixels


def region(name: str) -> np.ndarray:
    rows, columns = REGIONS[name]
    return np.ascontiguousarray(load_indian_pines().cube[slice(*rows), slice(*columns)])


@pytest.mark.parametrize(("one", "other"), [("west", "east"), ("nw", "ne"), ("sw", "nw"), ("se", "sw")])
@pytest.mark.parametrize("bands", [slice(None), slice(20, 120, 30), slice(10, 30)])
def test_regions_of_one_flight_that_do_not_meet_share_none(one: str, other: str, bands: slice) -> None:
    assert find_shared_pixels(region(one)[..., bands], region(other)[..., bands]) is None


@pytest.mark.parametrize("seed", range(3))
def test_few_bands_of_few_values_share_none(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = (rng.integers(0, 12, (50, 60, 3)).astype(np.float32) for _ in range(2))
    assert find_shared_pixels(one, other) is None


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (30, 0), (0, 50), (41, 17)])
@pytest.mark.parametrize("turned", [False, True])
def test_an_overlap_is_found_at_any_offset(rows: int, columns: int, turned: bool) -> None:
    cube = load_indian_pines().cube
    one, other = cube[:60, :70], cube[rows : rows + 60, columns : columns + 70]
    found = find_shared_pixels(one, np.rot90(other) if turned else other)
    share = (60 - rows) * (70 - columns) / (60 * 70)
    assert found is not None
    assert found.num_drawn == 2000
    assert found.num_shared == pytest.approx(2000 * share, rel=0.2)


@pytest.mark.parametrize(
    "change",
    [
        lambda cube: cube * np.float32(1e-4),
        lambda cube: cube - np.float32(955),
        lambda cube: np.round(cube / 40),
        lambda cube: cube * np.linspace(0.5, 2, 200, dtype=np.float32) + np.arange(200, dtype=np.float32),
        lambda cube: cube + np.random.default_rng(0).normal(0, 10, cube.shape).astype(np.float32),
    ],
    ids=["factor", "offset", "coarser numbers", "factor and offset per band", "noise"],
)
def test_changed_values_are_seen_through(change) -> None:
    cube = load_indian_pines().cube
    other = change(cube[40:, 20:])
    found = find_shared_pixels(np.ascontiguousarray(cube[:100, :100]), np.asarray(other, dtype=np.float32))
    assert found is not None
    assert found.num_shared > 100


def test_cubes_of_repeated_spectra_are_compared_place_by_place() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (20, 30))
    spectra = np.random.default_rng(1).random((3, 12), dtype=np.float32)
    assert find_shared_pixels(spectra[labels], 2 * spectra[labels]) is not None
    assert find_shared_pixels(spectra[labels], spectra[np.roll(labels, 5, axis=1)]) is None
    assert find_shared_pixels(np.ones((9, 9, 4), dtype=np.float32), np.ones((9, 9, 4), dtype=np.float32)) is None
    assert find_shared_pixels(np.ones((1, 1, 4), dtype=np.float32), np.zeros((2, 1, 4), dtype=np.float32)) is None
