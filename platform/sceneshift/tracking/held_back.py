"""What a network answered on pixels held back from it: kept with a model, to estimate its accuracy elsewhere.

Shape letters: N held-back pixels, K classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class HeldBack:
    """Logits on held-back pixels of the source.

    Args:
        logits: N rows of K numbers.
        labels: N class indices 0..K-1.
        proportions: K shares of the source's labelled pixels, 0 for classes without a held-back pixel.
        of_this_network: Whether they are the model's own; False for a model that was trained once more on every field,
            where they are those of the network that was chosen before.

    Raises:
        InvalidInputError: The numbers don't fit each other.
    """

    logits: tuple[tuple[float, ...], ...]
    labels: tuple[int, ...]
    proportions: tuple[float, ...]
    of_this_network: bool

    def __post_init__(self) -> None:
        lengths = {len(row) for row in self.logits}
        if not self.labels or len(self.logits) != len(self.labels) or lengths != {len(self.proportions)}:
            raise InvalidInputError(
                f"{len(self.logits)} rows of logits of lengths {sorted(lengths)} for {len(self.labels)} labels and "
                f"{len(self.proportions)} classes; expected one row per label, and one number per class."
            )

    @classmethod
    def of(
        cls,
        logits: NDArray[np.floating],
        labels: NDArray[np.integer],
        proportions: NDArray[np.floating],
        *,
        of_this_network: bool,
    ) -> Self:
        """From arrays (N, K), (N,) and (K,)."""
        return cls(
            logits=tuple(map(tuple, logits.astype(np.float64).tolist())),
            labels=tuple(labels.tolist()),
            proportions=tuple((proportions / proportions.sum()).tolist()),
            of_this_network=of_this_network,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Restore from plain values."""
        return cls(
            logits=tuple(tuple(map(float, row)) for row in values["logits"]),
            labels=tuple(map(int, values["labels"])),
            proportions=tuple(map(float, values["proportions"])),
            of_this_network=bool(values["of_this_network"]),
        )
