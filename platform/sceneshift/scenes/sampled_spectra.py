"""A random sample of a scene's spectra, taken while they pass by in blocks.

Each block's spectra get random keys, and those with the smallest keys of all are kept (bottom-k sampling, the same as
a uniform draw without replacement). An even step would be simpler, but where a mosaic's pixels repeat with it, it meets
few different ones, and those may be all water.

Shape letters: N spectra, C bands.
"""

import numpy as np
from numpy.typing import NDArray

from sceneshift.seeding import derive_seed


class SampledSpectra:
    """At most ``size`` of the spectra shown, each as likely to be kept as any other.

    The same spectra in the same order give the same sample, however they are cut into blocks.

    Args:
        size: How many are kept, at least 1.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._rng = np.random.default_rng(derive_seed("spectra of a value summary"))
        self._spectra: list[NDArray[np.float64]] = []
        self._keys: list[NDArray[np.float64]] = []
        self._largest_key = 1.0

    def add(self, block: NDArray[np.float64]) -> None:
        """Show (N, C) spectra."""
        keys = self._rng.random(len(block))
        small = keys < self._largest_key
        self._spectra.append(block[small])
        self._keys.append(keys[small])
        if sum(map(len, self._keys)) > 2 * self._size:
            self._drop()

    def spectra(self) -> NDArray[np.float64]:
        """Those kept, (min(N, size), C) of all N shown, in no particular order; at least one must have been shown."""
        self._drop()
        return self._spectra[0]

    def _drop(self) -> None:
        spectra, keys = np.concatenate(self._spectra), np.concatenate(self._keys)
        if len(keys) > self._size:
            smallest = np.argpartition(keys, self._size)[: self._size]
            spectra, keys = spectra[smallest], keys[smallest]
            self._largest_key = float(keys.max())
        self._spectra, self._keys = [spectra], [keys]
