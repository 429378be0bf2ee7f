"""Unlabelled pixels of a target, for trainings that were allowed them.

Shape letters: H rows, W columns, M pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene, UnlabelledScene
from sceneshift.seeding import derive_seed
from sceneshift.splits.pair import ScenePair

#: What a training may see of its target.
TARGET_ACCESS = ("none", "unlabelled")

#: Target pixels that are recorded.
TARGET_PIXELS = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetPixels:
    """Some pixels of a pair's target and the scene around them, without labels.

    Args:
        pair_name: The pair.
        scene: The target.
        pixels: (M,) flat indices, ascending.

    Raises:
        InvalidInputError: The scene carries labels, or a pixel is outside it or repeats.
    """

    pair_name: str
    scene: UnlabelledScene
    pixels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if isinstance(self.scene, Scene):
            raise InvalidInputError(
                f"target of pair {self.pair_name!r}: it must come without labels; pass scene.without_labels()."
            )
        num_pixels = self.scene.shape[0] * self.scene.shape[1]
        ascending = self.pixels.ndim == 1 and bool((np.diff(self.pixels) > 0).all())
        if not ascending or (len(self.pixels) and not 0 <= self.pixels[0] <= self.pixels[-1] < num_pixels):
            raise InvalidInputError(
                f"target of pair {self.pair_name!r}: expected distinct, ascending pixels within 0..{num_pixels - 1}."
            )

    @classmethod
    def draw(cls, pair: ScenePair, *, most: int = TARGET_PIXELS) -> "TargetPixels":
        """Draw pixels at random, the same for every training on the pair.

        They are drawn from all measured pixels, labelled or not: those whose spectrum is not all zeros, which is how
        files mark pixels without a measurement. Within one scene, pixels that train or validate are left out.

        Args:
            pair: The pair.
            most: Pixels to draw; all of them where there are fewer.
        """
        # Row by row: a cube may be larger than memory.
        measured = np.concatenate([(row != 0).any(axis=1) for row in pair.target.cube])
        if pair.test_split is not None:
            measured[pair.test_split.train] = False
        there = np.flatnonzero(measured)
        if len(there) > most:
            rng = np.random.default_rng(derive_seed("target pixels", pair.name))
            there = np.sort(rng.choice(there, most, replace=False))
        return cls(pair_name=pair.name, scene=pair.target, pixels=there.astype(np.int64))
