"""Pairs of several sources, ``a+b-c``: their names, what they are made of, and what is rejected."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sceneshift.catalogue.load import load_both_labelled, load_pair
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.catalogue.sides import Sides, find_sides
from sceneshift.catalogue.units import allowed_normalizations
from sceneshift.catalogue.user_entries import NO_CATALOGUE, OwnCatalogue
from sceneshift.catalogue.user_toml import read_catalogue
from sceneshift.errors import InvalidInputError
from sceneshift.files.arrow_scenes import write_scene
from sceneshift.scenes.normalization import NORMALIZATIONS, UNITLESS
from sceneshift.scenes.scene import Scene


@pytest.fixture
def catalogue_of(make_scene: Callable[..., Scene], tmp_path: Path) -> Callable[..., OwnCatalogue]:
    """Write stored scenes and a catalogue of them; each scene is given by what changes it."""

    def make(pairs: str = "", **changes: Callable[[Scene], Scene]) -> OwnCatalogue:
        text = pairs
        for seed, (name, change) in enumerate(changes.items()):
            write_scene(change(make_scene(seed, name=name)), tmp_path / f"{name}.arrow")
            text += f'[scenes.{name}]\nstored = "{name}.arrow"\n'
        (tmp_path / "scenes.toml").write_text(text)
        return read_catalogue(tmp_path / "scenes.toml", found="test")

    return make


def same(scene: Scene) -> Scene:
    return scene


def test_parts_of_indian_pines_share_the_classes_all_have() -> None:
    pair = load_pair("nw+sw-se")
    assert [scene.name for scene in pair.sources] == ["indian_pines/nw", "indian_pines/sw"]
    assert pair.class_names == ("Corn-notill", "Soybean-notill", "Soybean-mintill")
    assert [scene.class_counts.tolist() for scene in pair.sources] == [[801, 60, 72], [80, 105, 1819]]
    sources, target = load_both_labelled(NamedPair(name="nw+sw-se"))
    assert target.class_names == pair.class_names
    assert [scene.content_hash for scene in sources] == [scene.content_hash for scene in pair.sources]
    # The named pair of the last two has the same pixels.
    np.testing.assert_array_equal(pair.target.cube, load_pair("sw-se").target.cube)
    left_out = [note for note in pair.notes if note.startswith("left out")]
    assert len(left_out) == 2  # of sw and of se, Grass-pasture and Grass-trees
    with pytest.raises(InvalidInputError, match="2 sources"):
        _ = pair.source


@pytest.mark.parametrize(
    "name", ["west+sw-se", "west+east-se", "nw+nw-se", "nw+se-se", "nw+sww-se", "nw+-se", "nw+sw", "+", "nw+sw-", "a-b"]
)
def test_other_names_are_rejected(name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"expected|share|Known|Name other scenes"):
        load_pair(name)


def test_a_name_with_a_minus_is_found(catalogue_of: Callable[..., OwnCatalogue]) -> None:
    catalogue = catalogue_of(**{"my-one": same, "two": same, "a-c": same})
    assert find_sides("my-one+two-a-c", catalogue) == Sides(sources=("my-one", "two"), target="a-c")
    assert find_sides("west-east", NO_CATALOGUE) == Sides(sources=("west",), target="east")


def test_a_name_that_can_be_read_twice_is_rejected(catalogue_of: Callable[..., OwnCatalogue]) -> None:
    catalogue = catalogue_of(**{"a": same, "b": same, "b-c": same, "c-d": same, "d": same})
    with pytest.raises(InvalidInputError, match=r"a\+b-c-d"):
        find_sides("a+b-c-d", catalogue)


def test_own_scenes_are_aligned_by_the_rules_of_their_pairs(catalogue_of: Callable[..., OwnCatalogue]) -> None:
    def renamed(scene: Scene) -> Scene:
        return replace(scene, class_names=("ground", "tree", "water"))

    pairs = '[pairs.b-c]\nsource = "b"\ntarget = "c"\nclass_map = { ground = "soil", tree = "tree" }\n'
    catalogue = catalogue_of(pairs, a=same, b=renamed, c=same)
    recipe = NamedPair(name="a+b-c", catalogue=catalogue)
    pair = load_pair(recipe)
    assert pair.class_names == ("soil", "tree")
    assert [scene.class_counts.tolist() for scene in pair.sources] == [[256, 256], [256, 256]]
    assert recipe.definition_hash is not None
    other = NamedPair(
        name="a+b-c",
        catalogue=catalogue_of(pairs.replace('tree = "tree"', 'water = "tree"'), a=same, b=renamed, c=same),
    )
    assert other.definition_hash != recipe.definition_hash
    assert NamedPair(name="nw+sw-se", catalogue=catalogue).definition_hash is None


def test_sources_that_group_the_target_s_classes_differently_are_rejected(
    catalogue_of: Callable[..., OwnCatalogue],
) -> None:
    pairs = '[pairs.b-c]\nsource = "b"\ntarget = "c"\nclass_map = { soil = ["soil", "water"], tree = "tree" }\n'
    with pytest.raises(InvalidInputError, match=r"'b'.*'a'"):
        load_pair(NamedPair(name="a+b-c", catalogue=catalogue_of(pairs, a=same, b=same, c=same)))


def test_a_copy_among_the_sources_is_rejected(
    catalogue_of: Callable[..., OwnCatalogue], make_scene: Callable[..., Scene]
) -> None:
    def copied(scene: Scene) -> Scene:
        return replace(make_scene(0), name=scene.name, footprint=None)

    catalogue = catalogue_of(a=same, b=copied, c=same, d=copied)
    with pytest.raises(InvalidInputError, match=r"'a'.*'b'"):
        load_pair(NamedPair(name="a+b-c", catalogue=catalogue))
    with pytest.raises(InvalidInputError, match=r"'a'.*'d'"):
        load_pair(NamedPair(name="c+a-d", catalogue=catalogue))


def test_a_normalization_is_allowed_where_every_source_allows_it(catalogue_of: Callable[..., OwnCatalogue]) -> None:
    def scaled(scene: Scene) -> Scene:
        return replace(scene, cube=scene.cube * np.float32(1e4))

    catalogue = catalogue_of(a=same, b=scaled, c=same, d=same)
    assert allowed_normalizations(load_pair(NamedPair(name="a+d-c", catalogue=catalogue))) == NORMALIZATIONS
    assert allowed_normalizations(load_pair(NamedPair(name="a+b-c", catalogue=catalogue))) == UNITLESS


def test_the_coarsest_sensor_of_three_decides_on_the_bands(catalogue_of: Callable[..., OwnCatalogue]) -> None:
    def seen_at(*centres: float) -> Callable[[Scene], Scene]:
        def change(scene: Scene) -> Scene:
            cube = np.ascontiguousarray(scene.cube[..., np.linspace(0, 7, len(centres)).astype(int)])
            return replace(scene, cube=cube, wavelengths_nm=np.array(centres))

        return change

    fine, coarse = seen_at(*range(400, 480, 10)), seen_at(405, 425, 445, 465)
    catalogue = catalogue_of(a=fine, b=coarse, c=seen_at(*range(402, 482, 10)))
    pair = load_pair(NamedPair(name="a+b-c", catalogue=catalogue))
    for scene in (*pair.sources, pair.target):
        assert scene.wavelengths_nm is not None
        assert scene.wavelengths_nm.tolist() == [405, 425, 445, 465]
