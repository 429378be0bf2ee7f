"""Recipes: plain, picklable, and refused in the words of the command line where their values don't go together."""

import pickle
from dataclasses import FrozenInstanceError

import pytest

from sceneshift.catalogue.load import EMBEDDED_PAIRS, PAIRS
from sceneshift.catalogue.pair_spec import InScene, NamedPair
from sceneshift.errors import InvalidInputError


def in_scene(**changes: object) -> InScene:
    return InScene(**({"scene": "indian_pines", "split": "blocks", "patch_size": 7, "seed": 0} | changes))


@pytest.mark.parametrize(
    "recipe",
    [
        NamedPair(name="dioni-loukia", data_dir="data"),
        in_scene(split="random", train_fraction=0.5),
        in_scene(split="fixed", train_mask="train.tif", test_mask="test.tif"),
    ],
)
def test_a_recipe_is_pickled_whole_and_cannot_be_changed(recipe: NamedPair | InScene) -> None:
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    with pytest.raises(FrozenInstanceError):
        recipe.data_dir = "elsewhere"


def test_the_name_of_an_in_scene_pair_is_the_scene_s() -> None:
    assert in_scene(scene="salinas_a").name == "salinas_a"


@pytest.mark.parametrize("name", [*EMBEDDED_PAIRS, *PAIRS])
def test_every_pair_has_a_recipe(name: str) -> None:
    assert NamedPair(name=name).data_dir is None


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidInputError, match=r"'dioni-lukia'.*'dioni-loukia'"):
        NamedPair(name="dioni-lukia")
    with pytest.raises(InvalidInputError, match=r"'indian-pines'.*'indian_pines'"):
        in_scene(scene="indian-pines")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "block"}, r"--split.*'block'.*'blocks'"),
        ({"patch_size": 8}, "patch_size = 8"),
        ({"train_fraction": 0.0}, r"--train-fraction 0.0.*0.*1"),
        ({"train_fraction": 1.0}, "--train-fraction 1.0"),
        ({"train_fraction": float("nan")}, "--train-fraction nan"),
        ({"train_mask": "t.tif"}, r"--split blocks.*--train-mask.*'t.tif'.*--split fixed"),
        ({"split": "random", "test_mask": "t.tif"}, r"--split random.*--test-mask"),
        ({"split": "fixed"}, r"--split fixed.*--train-mask.*--test-mask.*indian_pines"),
        ({"split": "fixed", "train_mask": "t.tif"}, r"--train-mask.*--test-mask.*--test-mask"),
        ({"split": "fixed", "test_mask": "t.tif"}, r"--train-mask.*--test-mask.*--train-mask"),
        ({"scene": "berlin"}, "--split blocks.*berlin.*--split fixed"),
        ({"scene": "augsburg", "split": "random"}, "--split random.*augsburg"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        in_scene(**changes)


def test_a_scene_published_as_masks_needs_none_given() -> None:
    recipe = in_scene(scene="berlin", split="fixed")
    assert (recipe.train_mask, recipe.test_mask) == (None, None)
