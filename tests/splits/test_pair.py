"""Pairs: what is refused, so that nothing trained on is ever scored as unseen."""

from dataclasses import replace

import numpy as np
import pytest

from sceneshift.catalogue.load import load_both_labelled, load_pair
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Footprint, Scene
from sceneshift.splits.pair import ScenePair, refuse_shared_pixels


def scene_at(rows: tuple[int, int], columns: tuple[int, int], *, parent: str = "flight", bands: int = 3) -> Scene:
    shape = (rows[1] - rows[0], columns[1] - columns[0])
    return Scene(
        name=f"{parent}{rows}{columns}",
        cube=np.ones((*shape, bands), dtype=np.float32),
        labels=np.ones(shape, dtype=int),
        class_names=("soil", "tree"),
        footprint=Footprint(parent=parent, rows=rows, columns=columns),
    )


def test_a_pair_holds_source_and_bare_target() -> None:
    source, target = scene_at((0, 4), (0, 5)), scene_at((0, 4), (5, 10)).without_labels()
    pair = ScenePair(name="p", sources=(source,), target=target)
    assert pair.class_names == ("soil", "tree")
    assert not hasattr(pair.target, "labels")


def test_a_labelled_target_is_refused() -> None:
    (source,), target = load_both_labelled(NamedPair(name="west-east"))
    with pytest.raises(InvalidInputError, match=r"'p'.*without_labels"):
        ScenePair(name="p", sources=(source,), target=target)


def test_band_counts_must_agree() -> None:
    target = scene_at((0, 4), (5, 10), bands=4).without_labels()
    with pytest.raises(InvalidInputError, match=r"3 bands.*4"):
        ScenePair(name="p", sources=(scene_at((0, 4), (0, 5)),), target=target)


def test_normalizations_must_agree() -> None:
    target = replace(scene_at((0, 4), (5, 10)), normalization=("l2-per-pixel",)).without_labels()
    with pytest.raises(InvalidInputError, match=r"\('l2-per-pixel',\)"):
        ScenePair(name="p", sources=(scene_at((0, 4), (0, 5)),), target=target)


def test_source_and_target_of_a_pair_may_not_share_a_pixel() -> None:
    target = scene_at((3, 8), (4, 9)).without_labels()  # one corner pixel of the source
    with pytest.raises(InvalidInputError, match=r"'p'.*'p'.*'fl"):
        ScenePair(name="p", sources=(scene_at((0, 4), (0, 5)),), target=target)
    elsewhere = scene_at((3, 8), (4, 9), parent="another flight").without_labels()
    assert ScenePair(name="p", sources=(scene_at((0, 4), (0, 5)),), target=elsewhere).name == "p"


@pytest.mark.parametrize(
    ("first", "second"),
    [("west-east", "east-west"), ("sw-se", "se-sw"), ("west-east", "se-sw"), ("nw-ne", "east-west")],
)
def test_one_pair_s_source_may_not_be_another_s_target(first: str, second: str) -> None:
    pairs = [load_pair(NamedPair(name=first)), load_pair(NamedPair(name=second))]
    for order in (pairs, pairs[::-1]):
        with pytest.raises(InvalidInputError, match=repr(first)) as error:
            refuse_shared_pixels(order)
        assert repr(first) in str(error.value)
        assert repr(second) in str(error.value)
        assert "'indian_pines'" in str(error.value)


@pytest.mark.parametrize(
    "names", [("west-east", "sw-se"), ("west-east", "sw-se", "nw-ne"), ("east-west", "se-sw"), ("se-sw",)]
)
def test_pairs_that_look_the_same_way_go_together(names: tuple[str, ...]) -> None:
    assert refuse_shared_pixels([load_pair(NamedPair(name=name)) for name in names]) is None


def test_the_offending_pair_is_found_wherever_it_is() -> None:
    pairs = [load_pair(NamedPair(name=name)) for name in ("nw-ne", "sw-se", "west-east", "se-sw")]
    with pytest.raises(InvalidInputError, match="'se-sw'"):
        refuse_shared_pixels(pairs)
