"""Reference abundances: checked shapes, and the label map made from them."""

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.unmixing_reference import UnmixingReference, labels_from_abundances, pixels_to_image

ABUNDANCES = np.array([[[0.5, 0.3, 0.2], [0.4, 0.35, 0.25]], [[0.0, 0.1, 0.9], [0.0, 1.0, 0.0]]])


def test_a_pixel_is_the_class_of_at_least_half_of_it() -> None:
    assert labels_from_abundances(ABUNDANCES).tolist() == [[1, 0], [3, 2]]
    assert labels_from_abundances(ABUNDANCES).dtype == np.int64


def test_pixels_are_column_by_column() -> None:
    image = np.arange(2 * 3 * 4).reshape(2, 3, 4)  # (H, W, N)
    matrix = np.stack([image[row, column] for column in range(3) for row in range(2)], axis=1)
    np.testing.assert_array_equal(pixels_to_image(matrix, (2, 3), "Y"), image)
    with pytest.raises(InvalidInputError, match=r"\(4, 6\).*8 pixels.*\(2 x 4\)"):
        pixels_to_image(matrix, (2, 4), "Y")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"materials": ("soil", "tree")}, r"\(2, 2, 3\).*\(rows, columns, 2 materials\)"),
        ({"endmembers": np.ones((3, 5))}, r"\(3, 5\).*\(bands, 3 materials\)"),
        ({"abundances": ABUNDANCES * 2}, "abundances from 0 to 2"),
        ({"abundances": ABUNDANCES * np.nan}, "nan to nan"),
    ],
)
def test_a_reference_cannot_be_built_wrong(changes: dict[str, object], message: str) -> None:
    arguments = {"materials": ("soil", "tree", "water"), "abundances": ABUNDANCES, "endmembers": np.ones((5, 3))}
    with pytest.raises(InvalidInputError, match=message):
        UnmixingReference(**(arguments | changes))
