"""Splits by blocks: whole blocks of a scene validate, and a guard band around them is left unused.

Shape letters: H rows, W columns, K classes, P patch size.
"""

from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from sceneshift.scenes.scene import Scene
from sceneshift.splits.layouts import LayoutOptions, best_layout
from sceneshift.splits.split import Split


def block_split(scene: Scene, *, patch_size: int, seed: int, **options: Unpack[LayoutOptions]) -> Split:
    """Split a scene's labelled pixels by blocks, with a guard band of ``patch_size // 2`` between the sides.

    Layouts of square blocks (between one and four patches wide, at a random offset) are drawn; in each, validation
    blocks are chosen class by class, the rarest class first, until the class has its share.
    :func:`sceneshift.splits.layouts.best_layout` decides which layout is kept.

    Args:
        scene: The source.
        patch_size: The largest patch that will be cut; odd.
        seed: Draws the layouts.
        options: See :class:`sceneshift.splits.layouts.LayoutOptions`.

    Raises:
        InvalidInputError: As for :func:`sceneshift.splits.layouts.best_layout`.
    """

    def draw(rng: np.random.Generator, fraction: float, patch: int) -> NDArray[np.bool_]:
        return _draw_blocks(scene, rng, patch, fraction)

    return best_layout(scene, draw, kind="blocks", patch_size=patch_size, seed=seed, **options)


def _draw_blocks(scene: Scene, rng: np.random.Generator, patch_size: int, fraction: float) -> NDArray[np.bool_]:
    height, width = scene.shape
    side = int(rng.integers(patch_size, 4 * patch_size + 1))
    top, left = (int(v) for v in rng.integers(0, side, size=2))
    block_rows = (np.arange(height) + top) // side
    block_columns = (np.arange(width) + left) // side
    blocks = block_rows[:, None] * (block_columns[-1] + 1) + block_columns[None, :]
    num_blocks = int(blocks.max()) + 1
    chosen = np.zeros(num_blocks, dtype=bool)
    settled = np.zeros(num_blocks, dtype=bool)
    for k in 1 + np.argsort(scene.class_counts, kind="stable"):
        per_block = np.bincount(blocks[scene.labels == k], minlength=num_blocks)
        wanted = fraction * per_block.sum()
        for block in rng.permutation(np.flatnonzero(per_block)):
            have = per_block[chosen].sum()
            if have >= wanted:
                break
            overshoot = have + per_block[block] - wanted
            if not settled[block] and not chosen[block] and overshoot <= max(wanted - have, wanted):
                chosen[block] = True
        settled |= per_block > 0
    drawn: NDArray[np.bool_] = chosen[blocks] & (scene.labels > 0)
    return drawn
