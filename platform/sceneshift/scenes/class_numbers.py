"""From the numbers a label map has to class ids 1..K.

Shape letters: H rows, W columns, K classes.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError


def to_class_ids(
    labels: NDArray[np.int64], *, class_names: tuple[str, ...], label_values: tuple[int, ...] | None, path: Path
) -> NDArray[np.int64]:
    """Give the classes the ids 1..K, in the order of their names.

    Args:
        labels: (H, W) numbers >= 0, 0 = unlabelled.
        class_names: K names.
        label_values: (K,) the number of each class in the map; None for 1..K.
        path: The map's file, for messages.

    Returns:
        (H, W) class ids.

    Raises:
        InvalidInputError: The map has a number that is no class's.
    """
    known = label_values or tuple(range(1, len(class_names) + 1))
    found = [int(value) for value in np.unique(labels) if value > 0]
    if unknown := sorted(set(found) - set(known)):
        raise InvalidInputError(
            f"{path}: class numbers {unknown}; expected {', '.join(map(str, known))} for {', '.join(class_names)}. "
            "Is it a label map with other classes?"
        )
    renumber = np.zeros(max(known) + 1, dtype=np.int64)
    renumber[list(known)] = np.arange(1, len(known) + 1)
    return renumber[labels]
