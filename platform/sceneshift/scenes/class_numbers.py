"""From the numbers a label map has to class ids 1..K.

Shape letters: H rows, W columns, K classes.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sceneshift.errors import InvalidInputError


def to_class_ids(
    labels: NDArray[np.int64],
    *,
    class_names: tuple[str, ...] | None,
    label_values: tuple[int, ...] | None,
    path: Path,
) -> NDArray[np.int64]:
    """Give the classes the ids 1..K, in the order of their names.

    Args:
        labels: (H, W) numbers; below 0 is unlabelled, and so is 0 unless it is one of ``label_values``.
        class_names: K names, or None where they are not known.
        label_values: (K,) the number of each class in the map, different and >= 0; None for 1..K.
        path: The map's file, for messages.

    Returns:
        (H, W) class ids, 0 = unlabelled.

    Raises:
        InvalidInputError: The map has a number that is not a class's, or there is not one for each name.
    """
    known = label_values or tuple(range(1, len(class_names or ()) + 1))
    if class_names is not None and len(known) != len(class_names):
        raise InvalidInputError(
            f"{path}: {len(known)} label_values for the classes {', '.join(class_names)}; expected one for each."
        )
    ids = np.zeros(labels.shape, dtype=np.int64)
    labelled = (labels >= 0) if 0 in known else (labels > 0)
    numbers, places = np.unique(labels[labelled], return_inverse=True)
    if unknown := sorted(set(numbers.tolist()) - set(known)):
        named = "" if class_names is None else f" for {', '.join(class_names)}"
        raise InvalidInputError(
            f"{path}: class numbers {unknown}; expected {', '.join(map(str, known))}{named}. Is it a label map with "
            "other classes?"
        )
    if len(numbers):
        ids[labelled] = np.array([1 + known.index(number) for number in numbers.tolist()])[places]
    return ids
