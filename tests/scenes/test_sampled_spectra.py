"""A random sample of spectra that pass by in blocks."""

import numpy as np
import pytest

from sceneshift.scenes.sampled_spectra import SampledSpectra


def numbered(count: int) -> np.ndarray:
    return np.arange(2 * count, dtype=np.float64).reshape(count, 2)


def sampled(spectra: np.ndarray, size: int, *, block: int) -> np.ndarray:
    sample = SampledSpectra(size)
    for start in range(0, len(spectra), block):
        sample.add(spectra[start : start + block])
    kept = sample.spectra()
    return kept[kept[:, 0].argsort()]


@pytest.mark.parametrize("count", [1, 7, 100])
def test_few_spectra_are_all_kept(count: int) -> None:
    np.testing.assert_array_equal(sampled(numbered(count), 100, block=9), numbered(count))


def test_of_many_so_many_are_kept_however_they_are_cut() -> None:
    first = sampled(numbered(5000), 100, block=5000)
    assert first.shape == (100, 2)
    assert len(np.unique(first[:, 0])) == 100
    for block in (1, 7, 64, 999):
        np.testing.assert_array_equal(sampled(numbered(5000), 100, block=block), first)


def test_early_and_late_spectra_are_as_likely() -> None:
    kept = sampled(numbered(100_000), 4000, block=777)[:, 0] / 2
    share = np.histogram(kept, bins=4, range=(0, 100_000))[0] / 4000
    # Four standard deviations of a quarter of 4000 draws.
    np.testing.assert_allclose(share, 0.25, atol=4 * np.sqrt(0.25 * 0.75 / 4000))
