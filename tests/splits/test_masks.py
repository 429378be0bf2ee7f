"""Fixed masks: the training mask alone says what the numbers mean, and what doesn't fit is refused with the table."""

import re
from dataclasses import replace

import numpy as np
import pytest

from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene
from sceneshift.splits.masks import apply_masks

# In the tiny scene's classes 1, 2, 3 (soil, tree, water) the masks say 2, 3, 1.
OWN_ORDER = np.array([0, 2, 3, 1])


def masks_of(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Masks in an order of their own: the upper rows train, the lower rows test."""
    masks = OWN_ORDER[scene.labels]
    train, test = masks.copy(), masks.copy()
    train[20:], test[:20] = 0, 0
    return train, test


def test_numbers_are_matched_and_labels_replaced(tiny_scene: Scene) -> None:
    train, test = masks_of(tiny_scene)
    train[0, :4], test[39, :2] = 2, 1  # unlabelled in the scene's own map
    train[5, 2] = test[25, 2] = 0  # labelled there, in neither mask
    sides = apply_masks(tiny_scene, train, test, has_own_labels=True)
    expected = np.where(train > 0, tiny_scene.labels, 0)
    expected[0, :4] = 1
    np.testing.assert_array_equal(sides.train, expected)
    expected = np.where(test > 0, tiny_scene.labels, 0)
    expected[39, :2] = 3
    np.testing.assert_array_equal(sides.test, expected)
    assert sides.class_names == ("soil", "tree", "water")
    upper = [int((tiny_scene.labels[:20] == k).sum()) for k in (1, 2, 3)]
    soil = upper[0] - int(tiny_scene.labels[5, 2] == 1)
    tree = upper[1] - int(tiny_scene.labels[5, 2] == 2)
    matched = [re.findall(r"mask class (\d) = (\w+) \((\d+) of (\d+) ", note) for note in sides.notes[:3]]
    counted = zip("123", ("water", "soil", "tree"), (upper[2], soil, tree), strict=True)
    assert matched == [[(number, name, str(count), str(count))] for number, name, count in counted]
    assert [note.split()[:2] for note in sides.notes[3:]] == [["6", "pixels"], ["2", "labels"]]


def test_the_test_mask_decides_nothing(tiny_scene: Scene) -> None:
    train, test = masks_of(tiny_scene)
    plain = apply_masks(tiny_scene, train, test, has_own_labels=True)
    test[test > 0] = 1
    other = apply_masks(tiny_scene, train, test, has_own_labels=True)
    np.testing.assert_array_equal(plain.train, other.train)
    assert plain.notes == other.notes
    assert set(np.unique(other.test)) == {0, 3}


@pytest.mark.parametrize(("share", "refused"), [(0.79, True), (0.81, False)])
def test_four_in_five_labelled_pixels_must_agree(tiny_scene: Scene, share: float, refused: bool) -> None:
    train, test = masks_of(tiny_scene)
    water = np.flatnonzero((tiny_scene.labels == 3).ravel() & (train > 0).ravel())
    train.ravel()[water] = 0
    soil = np.flatnonzero((train == 2).ravel())
    num_wrong = round(len(soil) * (1 - share) / share)
    train.ravel()[water[:num_wrong]] = 2  # pixels of water under the number of soil
    train.ravel()[water[num_wrong:]] = 1
    if refused:
        with pytest.raises(InvalidInputError, match=r"class 2.*80%") as error:
            apply_masks(tiny_scene, train, test, has_own_labels=True)
        table = f"mask class 2 = soil ({len(soil)} of {len(soil) + num_wrong} labelled pixels agree)"
        assert table in str(error.value)
        assert "mask class 3 = tree" in str(error.value)
    else:
        sides = apply_masks(tiny_scene, train, test, has_own_labels=True)
        # The mask has the say: the pixels of water are soil now.
        assert (sides.train.ravel()[water[:num_wrong]] == 1).all()


def test_two_numbers_of_one_class_are_refused(tiny_scene: Scene) -> None:
    train, test = masks_of(tiny_scene)
    train[10:20][train[10:20] == 2] = 4
    with pytest.raises(InvalidInputError, match="class 4"):
        apply_masks(tiny_scene, train, test, has_own_labels=True)


def test_a_number_on_unlabelled_pixels_only_means_nothing(tiny_scene: Scene) -> None:
    train, test = masks_of(tiny_scene)
    train[0, :4] = 5
    with pytest.raises(InvalidInputError, match="class 5"):
        apply_masks(tiny_scene, train, test, has_own_labels=True)


def test_without_a_label_map_the_numbers_are_the_classes(tiny_scene: Scene) -> None:
    bare = replace(tiny_scene, labels=np.zeros_like(tiny_scene.labels))
    train, test = masks_of(tiny_scene)
    sides = apply_masks(bare, train, test, has_own_labels=False)
    np.testing.assert_array_equal(sides.train, train)
    np.testing.assert_array_equal(sides.test, test)
    assert sides.notes == ()
    train[0, 0] = 4
    with pytest.raises(InvalidInputError, match=r"--train-mask.*4.*'tiny'.*3 classes"):
        apply_masks(bare, train, test, has_own_labels=False)


def test_a_class_the_masks_don_t_name_is_left_out(tiny_scene: Scene) -> None:
    train, test = masks_of(tiny_scene)
    train[train == 2], test[test == 2] = 0, 0  # soil
    sides = apply_masks(tiny_scene, train, test, has_own_labels=True)
    assert sides.class_names == ("tree", "water")
    np.testing.assert_array_equal(sides.train, np.array([0, 2, 0, 1])[train])
    assert sides.notes[-1].startswith("left out, ")
    assert sides.notes[-1].endswith(": soil")


def test_a_pixel_in_both_masks_is_refused(tiny_scene: Scene) -> None:
    train, test = masks_of(tiny_scene)
    test[5, 2] = 1
    with pytest.raises(InvalidInputError, match=r"1 pixels.*--train-mask.*--test-mask"):
        apply_masks(tiny_scene, train, test, has_own_labels=True)


def test_masks_of_another_kind_are_refused(tiny_scene: Scene) -> None:
    train, test = masks_of(tiny_scene)
    with pytest.raises(InvalidInputError, match=r"--test-mask.*\(30, 40\).*'tiny'.*40.*30"):
        apply_masks(tiny_scene, train, test.T, has_own_labels=True)
    with pytest.raises(InvalidInputError, match="--train-mask"):
        apply_masks(tiny_scene, np.zeros_like(train), test, has_own_labels=True)
    test[39, 0] = 9
    with pytest.raises(InvalidInputError, match=r"--test-mask.*\[9\].*--train-mask"):
        apply_masks(tiny_scene, train, test, has_own_labels=True)
