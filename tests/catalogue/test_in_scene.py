"""One scene as a pair: the source has the training side's labels, the door the test side's, and nothing crosses."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from sceneshift.catalogue.in_scene import divide_scene
from sceneshift.catalogue.indian_pines import CLASS_NAMES, load_indian_pines
from sceneshift.catalogue.load import load_both_labelled, load_pair, load_scene
from sceneshift.catalogue.pair_spec import InScene, NamedPair
from sceneshift.catalogue.target import open_target
from sceneshift.errors import InvalidInputError, MissingDataError
from sceneshift.files.arrow_scenes import write_scene
from sceneshift.scenes.scene import UnlabelledScene
from sceneshift.splits.fields import number_fields
from sceneshift.splits.pair import ScenePair, refuse_shared_pixels
from sceneshift.splits.shares import describe_shares

SCRAMBLED = np.array([0, *np.random.default_rng(5).permutation(np.arange(1, 17))])


def in_scene(**changes: object) -> InScene:
    return InScene(**({"scene": "indian_pines", "split": "blocks", "patch_size": 7, "seed": 0} | changes))


@pytest.fixture
def masks(tmp_path: Path) -> tuple[np.ndarray, np.ndarray, InScene]:
    """Masks of Indian Pines in an order of their own: a tenth of every class trains, the rest tests."""
    labels = load_indian_pines().labels
    order = np.array([0, *np.random.default_rng(1).permutation(np.arange(1, 17))])
    rng = np.random.default_rng(0)
    trains = rng.random(labels.shape) < 0.1
    train, test = np.where(trains, order[labels], 0), np.where(trains, 0, order[labels])
    np.save(tmp_path / "train.npy", train)
    np.save(tmp_path / "test.npy", test)
    recipe = in_scene(
        split="fixed", train_mask=str(tmp_path / "train.npy"), test_mask=str(tmp_path / "test.npy"), patch_size=11
    )
    return train, test, recipe


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_no_field_trains_and_tests(fraction: float) -> None:
    """Pixels near a class that trains whole can't test; the rest of their field must not train for it."""
    pair = load_pair(in_scene(split="fields", train_fraction=fraction, patch_size=13))
    fields = number_fields(load_indian_pines().labels)[0].ravel()
    assert pair.test_split.kind == "fields"
    assert np.intersect1d(fields[pair.test_split.train], fields[pair.test_split.validation]).size == 0
    assert pair.test_split.separation().num_inside_training_patch == 0
    without_a_test_pixel = pair.notes[0].partition(": ")[2].split(", ")
    assert without_a_test_pixel[0] == "Alfalfa"
    assert "Hay-windrowed" in without_a_test_pixel  # a single field among others smaller than the least on either side


@pytest.mark.parametrize("split", ["blocks", "fields", "random"])
def test_both_sides_have_the_scene_s_unit(split: str) -> None:
    divided = divide_scene(
        in_scene(split=split), replace(load_indian_pines(), unit="counts"), masks=None, has_own_labels=True
    )
    assert (divided.source.unit, divided.target.unit) == ("counts", "counts")


@pytest.mark.parametrize("split", ["blocks", "fields", "random"])
def test_source_and_door_divide_the_scene_s_labels(split: str) -> None:
    whole, recipe = load_indian_pines(), in_scene(split=split)
    pair, door = load_pair(recipe), open_target(recipe)
    assert pair.name == "indian_pines"
    assert type(pair.target) is UnlabelledScene
    np.testing.assert_array_equal(pair.target.cube, whole.cube)
    np.testing.assert_array_equal(pair.source.cube, whole.cube)
    truth, train, test = whole.labels.ravel(), pair.test_split.train, pair.test_split.validation
    expected = np.zeros_like(truth)
    expected[train] = truth[train]
    np.testing.assert_array_equal(pair.source.labels.ravel(), expected)
    expected = np.zeros_like(truth)
    expected[test] = truth[test]
    np.testing.assert_array_equal(door.ground_truth().ravel(), expected)
    assert not ((pair.source.labels > 0) & (door.ground_truth() > 0)).any()
    assert pair.test_split.kind == split
    assert door.class_names == pair.class_names == CLASS_NAMES
    assert pair.test_split.separation().num_pixels == len(test)


def test_a_tenth_at_random_is_the_literature_s_split() -> None:
    split = load_pair(in_scene(split="random")).test_split
    assert (len(split.train), len(split.validation)) == (1031, 9218)


def test_a_split_by_blocks_keeps_its_guard_and_says_which_classes_are_not_tested() -> None:
    pair = load_pair(in_scene())
    assert pair.test_split.separation().num_inside_training_patch == 0
    assert pair.test_split.guard == 3
    assert pair.notes[0].partition(": ")[2] == "Grass-pasture-mowed, Oats"
    shares = describe_shares(load_indian_pines(), pair.test_split.train, 0.1, classes=pair.test_split.scored_classes)
    assert pair.notes[1:] == (shares,)


def test_the_seed_and_the_fraction_decide() -> None:
    hashes = {
        load_pair(in_scene(split="random", seed=seed, train_fraction=fraction)).test_split.content_hash
        for seed, fraction in ((0, 0.1), (1, 0.1), (0, 0.2))
    }
    assert len(hashes) == 3


def test_masks_label_the_two_sides(masks: tuple[np.ndarray, np.ndarray, InScene]) -> None:
    train, test, recipe = masks
    labels, pair = load_indian_pines().labels, load_pair(recipe)
    np.testing.assert_array_equal(pair.source.labels, np.where(train > 0, labels, 0))
    np.testing.assert_array_equal(open_target(recipe).ground_truth(), np.where(test > 0, labels, 0))
    assert pair.test_split.kind == "masks"
    assert pair.test_split.patch_size == 11
    assert len(pair.notes) == 18
    assert "mask class" in pair.notes[0]


@pytest.mark.parametrize("how", ["permuted", "one class", "at random"])
def test_nothing_of_the_test_mask_s_labels_reaches_the_source(
    masks: tuple[np.ndarray, np.ndarray, InScene], how: str
) -> None:
    _, test, recipe = masks
    before, door = load_pair(recipe), open_target(recipe).ground_truth()
    other = {
        "permuted": SCRAMBLED[test],
        "one class": np.where(test > 0, 7, 0),
        "at random": np.where(test > 0, np.random.default_rng(3).integers(1, 17, size=test.shape), 0),
    }[how]
    np.save(recipe.test_mask, other)
    after = load_pair(recipe)
    assert before.source.content_hash == after.source.content_hash
    assert before.source.labels.tobytes() == after.source.labels.tobytes()
    assert before.test_split.content_hash == after.test_split.content_hash
    assert before.test_split.scored_classes == after.test_split.scored_classes
    assert before.target.cube_hash == after.target.cube_hash
    assert before.notes == after.notes
    assert (open_target(recipe).ground_truth() != door).any()  # the scrambling is one


def test_both_masks_may_be_in_one_file_under_their_usual_names(
    masks: tuple[np.ndarray, np.ndarray, InScene], tmp_path: Path
) -> None:
    train, test, recipe = masks
    one = str(tmp_path / "IndianPine.mat")
    scipy.io.savemat(one, {"input": np.zeros((145, 145, 2)), "TR": train, "TE": test})
    other = load_pair(replace(recipe, train_mask=one, test_mask=one))
    assert other.source.content_hash == load_pair(recipe).source.content_hash
    assert other.test_split.content_hash == load_pair(recipe).test_split.content_hash


def test_a_missing_mask_says_which(masks: tuple[np.ndarray, np.ndarray, InScene]) -> None:
    recipe = replace(masks[2], test_mask="nowhere.tif")
    with pytest.raises(MissingDataError, match=r"nowhere\.tif"):
        load_pair(recipe)


@pytest.fixture
def berlin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """A small Berlin: training and test pixels in a folder of its own."""
    rng = np.random.default_rng(0)
    labels = 1 + np.arange(24 * 16).reshape(24, 16) % 8
    trains = rng.random(labels.shape) < 0.4
    train, test = np.where(trains, labels, 0), np.where(trains, 0, labels)
    (tmp_path / "Berlin").mkdir()
    for name, array in (("data_HS_LR", rng.random((24, 16, 5))), ("TrainImage", train), ("TestImage", test)):
        scipy.io.savemat(tmp_path / "Berlin" / f"{name}.mat", {name: array})
    monkeypatch.setenv("SCENESHIFT_DATA", str(tmp_path))
    return train, test


def test_a_scene_published_as_masks_is_divided_by_them(berlin: tuple[np.ndarray, np.ndarray]) -> None:
    recipe = in_scene(scene="berlin", split="fixed")
    pair = load_pair(recipe)
    np.testing.assert_array_equal(pair.source.labels, berlin[0])
    np.testing.assert_array_equal(open_target(recipe).ground_truth(), berlin[1])
    assert pair.class_names[:2] == ("forest", "residential area")
    assert not load_scene("berlin").labels.any()


def test_without_its_masks_such_a_scene_says_what_lacks(berlin: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "Berlin" / "TestImage.mat").unlink()
    with pytest.raises(MissingDataError, match=r"'berlin'.*TestImage\.mat"):
        load_pair(in_scene(scene="berlin", split="fixed"))


def test_a_pair_within_one_scene_goes_with_no_other_pair_of_it() -> None:
    pair = load_pair(in_scene(split="random"))
    assert refuse_shared_pixels([pair]) is None
    for other in (load_pair(NamedPair(name="west-east")), pair, load_pair(in_scene(split="random", seed=1))):
        for order in ([pair, other], [other, pair]):
            with pytest.raises(InvalidInputError, match="'indian_pines'"):
                refuse_shared_pixels(order)


def test_a_source_that_knows_test_pixels_is_refused() -> None:
    recipe = in_scene(split="random")
    pair, whole = load_pair(recipe), load_indian_pines()
    with pytest.raises(InvalidInputError, match=r"'p'.*9218 test"):
        ScenePair(name="p", sources=(whole,), target=pair.target, test_split=pair.test_split)
    fewer = np.array(pair.source.labels)
    fewer.ravel()[pair.test_split.train[0]] = 0
    with pytest.raises(InvalidInputError, match=r"1030 labelled.*1031"):
        ScenePair(
            name="p", sources=(replace(pair.source, labels=fewer),), target=pair.target, test_split=pair.test_split
        )
    with pytest.raises(InvalidInputError, match="'indian_pines'"):
        ScenePair(name="p", sources=(pair.source,), target=pair.target)


def test_a_test_split_is_for_one_scene() -> None:
    (west,), east = load_both_labelled(NamedPair(name="west-east"))
    split = load_pair(in_scene(split="random")).test_split
    with pytest.raises(InvalidInputError, match="one scene"):
        ScenePair(name="p", sources=(west,), target=east.without_labels(), test_split=split)


def test_mask_pixels_that_are_unmeasured_are_on_no_side(
    masks: tuple[np.ndarray, np.ndarray, InScene], tmp_path: Path
) -> None:
    train, test, recipe = masks
    whole = load_indian_pines()
    cube = whole.cube.copy()
    cube[:20] = 0
    write_scene(replace(whole, cube=cube), tmp_path / "indian_pines.arrow")
    pair = load_pair(replace(recipe, scene=str(tmp_path / "indian_pines.arrow")))
    assert not (pair.test_split.train < 20 * 145).any()
    assert not (pair.test_split.validation < 20 * 145).any()
    lost = [int((mask[:20] > 0).sum()) for mask in (train, test)]
    assert min(lost) > 0
    told = [re.findall(r"\d+|training mask|test mask", note) for note in pair.notes[-2:]]
    assert told == [[str(lost[0]), "training mask"], [str(lost[1]), "test mask"]]
