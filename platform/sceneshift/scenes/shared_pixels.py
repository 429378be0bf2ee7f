"""Whether two cubes hold pixels of one acquisition, judged by their content: names and formats say nothing about it.

Each pixel becomes features that a factor and an offset on the whole cube leave as they are: the differences between
neighbouring bands, as a vector of length 1. A second kind of features also survives a factor and an offset per band:
how far each band is from the mean of the four neighbouring pixels, divided by what is usual in that band.

A pixel of one cube has a twin if its nearest neighbour in the other cube is clearly nearer than its nearest neighbour
in its own. Chance makes twins as well, mostly in cubes of few bands, but not at one offset: two cubes share pixels if
many twins are the same number of rows and columns apart, possibly after a rotation by 90 degrees or a reflection.

A copy with other pixel sizes, or rotated by any other angle, is not recognized.

Shape letters: H and W rows and columns of one cube, I and J of the other, C bands, F features, N drawn pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Pixels drawn from the smaller cube.
_DRAWN = 2000

#: A twin is nearer than this share of the distance to the nearest pixel of the own cube.
_TWIN = 0.5

#: Twins at one offset that chance does not explain: the least number, and the least share of all twins.
_LEAST_TWINS, _LEAST_SHARE = 8, 0.02

#: More bands than this are projected onto this many random directions, which keeps distances to within some 20 %.
_MOST_FEATURES = 24

#: Rows worked on at once.
_ROWS = 64

#: What a pixel's (row, column) becomes under the rotations and reflections of a square grid.
_ORIENTATIONS = [
    np.array(matrix)
    for matrix in (
        [[1, 0], [0, 1]],
        [[-1, 0], [0, -1]],
        [[1, 0], [0, -1]],
        [[-1, 0], [0, 1]],
        [[0, 1], [1, 0]],
        [[0, -1], [-1, 0]],
        [[0, 1], [-1, 0]],
        [[0, -1], [1, 0]],
    )
]


@dataclass(frozen=True, kw_only=True)
class SharedPixels:
    """Pixels that were found in both of two cubes.

    Args:
        num_drawn: Pixels of the smaller cube that were looked for in the other.
        num_shared: Those of them that are at one offset in the other.
    """

    num_drawn: int
    num_shared: int


def find_shared_pixels(one: NDArray[np.float32], other: NDArray[np.float32], *, seed: int = 0) -> SharedPixels | None:
    """Look for pixels of one cube in another.

    Args:
        one: (H, W, C).
        other: (I, J, C), with the same bands.
        seed: Of the drawn pixels and random directions.

    Returns:
        What was found; None if the cubes share no pixel.
    """
    if one.shape[0] * one.shape[1] > other.shape[0] * other.shape[1]:
        one, other = other, one
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(one.shape[0] * one.shape[1])[:_DRAWN]
    for features in (_differences, _contrasts):
        bands = one.shape[2]
        directions = rng.standard_normal((bands, _MOST_FEATURES)) if bands > _MOST_FEATURES else np.eye(bands)
        mine, theirs = features(one, directions), features(other, directions)
        if mine.shape == theirs.shape and _are_same(mine, theirs):
            return SharedPixels(num_drawn=len(drawn), num_shared=len(drawn))
        if shared := _twins_at_one_offset(mine, theirs, drawn):
            return SharedPixels(num_drawn=len(drawn), num_shared=shared)
    return None


def _differences(cube: NDArray[np.float32], directions: NDArray[np.float64]) -> NDArray[np.float32]:
    """(H, W, F) differences between neighbouring bands, of length 1 or 0 before they are projected."""
    blocks = (cube[start : start + _ROWS].astype(np.float64) for start in range(0, len(cube), _ROWS))
    # The first band less the last closes the circle; a single band has nothing to be compared with.
    of_length_one = (_of_length_one(block - np.roll(block, 1, axis=2)) @ directions for block in blocks)
    return np.concatenate([block.astype(np.float32) for block in of_length_one])


def _contrasts(cube: NDArray[np.float32], directions: NDArray[np.float64]) -> NDArray[np.float32]:
    """(H, W, F) bands less the mean of the four neighbours, divided by what is usual in the band; likewise."""
    squares = sum((block**2).sum(axis=(0, 1)) for block in _contrast_blocks(cube))
    usual = np.sqrt(squares)
    scale = np.divide(1, usual, out=np.zeros_like(usual), where=usual > 0)
    of_length_one = (_of_length_one(block * scale) @ directions for block in _contrast_blocks(cube))
    return np.concatenate([block.astype(np.float32) for block in of_length_one])


def _contrast_blocks(cube: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    height, width, _ = cube.shape
    columns = np.clip(np.arange(-1, width + 1), 0, width - 1)
    for start in range(0, height, _ROWS):
        rows = np.clip(np.arange(start - 1, min(start + _ROWS, height) + 1), 0, height - 1)
        block = cube[rows][:, columns].astype(np.float64)
        around = block[:-2, 1:-1] + block[2:, 1:-1] + block[1:-1, :-2] + block[1:-1, 2:]
        yield block[1:-1, 1:-1] - around / 4


def _of_length_one(values: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(values, axis=2, keepdims=True)
    scaled: NDArray[np.float64] = np.divide(values, length, out=np.zeros_like(values), where=length > 0)
    return scaled


def _are_same(mine: NDArray[np.float32], theirs: NDArray[np.float32]) -> bool:
    """Whether features agree everywhere: cubes of repeated spectra have no pixel that is nearer to its twin."""
    spread = float(mine.std(axis=(0, 1)).max())
    return spread > 0 and float(np.abs(mine - theirs).max()) < 1e-3 * spread


def _twins_at_one_offset(mine: NDArray[np.float32], theirs: NDArray[np.float32], drawn: NDArray[np.int64]) -> int:
    """How many of the drawn pixels have a twin at the offset that most twins have; 0 if too few."""
    own, others = mine.reshape(-1, mine.shape[2]), theirs.reshape(-1, theirs.shape[2])
    if min(len(own), len(others)) < 2:
        return 0
    sample = own[drawn]
    from sklearn.neighbors import NearestNeighbors  # not by every worker: half a second

    to_own = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(own).kneighbors(sample)[0][:, 1]
    to_other, places = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(others).kneighbors(sample)
    twins = to_other[:, 0] < _TWIN * to_own
    if int(twins.sum()) < _LEAST_TWINS:
        return 0
    here = np.stack(np.divmod(drawn[twins], mine.shape[1]), axis=1)
    there = np.stack(np.divmod(places[twins, 0], theirs.shape[1]), axis=1)
    most = max(int(np.unique(there - here @ matrix, axis=0, return_counts=True)[1].max()) for matrix in _ORIENTATIONS)
    return most if most >= max(_LEAST_TWINS, _LEAST_SHARE * int(twins.sum())) else 0
