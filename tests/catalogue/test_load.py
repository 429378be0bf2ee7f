"""The embedded pairs against counts made by hand from the label map."""

from dataclasses import fields, replace

import numpy as np
import pytest

from sceneshift.catalogue.indian_pines import REGIONS, cut_region, load_indian_pines
from sceneshift.catalogue.load import EMBEDDED_PAIRS, load_both_labelled, load_pair
from sceneshift.catalogue.pair_spec import NamedPair
from sceneshift.errors import InvalidInputError
from sceneshift.scenes.scene import Scene, UnlabelledScene

WEST = {
    "Corn-notill": 881,
    "Grass-pasture": 424,
    "Grass-trees": 508,
    "Soybean-notill": 165,
    "Soybean-mintill": 1891,
}
EAST = {
    "Corn-notill": 547,
    "Grass-pasture": 59,
    "Grass-trees": 222,
    "Soybean-notill": 807,
    "Soybean-mintill": 564,
}
SOUTH_WEST = {
    "Corn-notill": 80,
    "Grass-pasture": 406,
    "Grass-trees": 398,
    "Soybean-notill": 105,
    "Soybean-mintill": 1819,
}
SOUTH_EAST = {
    "Corn-notill": 381,
    "Grass-pasture": 59,
    "Grass-trees": 222,
    "Soybean-notill": 255,
    "Soybean-mintill": 60,
}
NORTH_WEST = {"Corn-notill": 801, "Soybean-notill": 60, "Soybean-mintill": 72}
NORTH_EAST = {"Corn-notill": 166, "Soybean-notill": 552, "Soybean-mintill": 504}

TABLE = {
    "west-east": (WEST, EAST),
    "east-west": (EAST, WEST),
    "sw-se": (SOUTH_WEST, SOUTH_EAST),
    "se-sw": (SOUTH_EAST, SOUTH_WEST),
    "nw-ne": (NORTH_WEST, NORTH_EAST),
}


def counts(scene: Scene) -> dict[str, int]:
    return dict(zip(scene.class_names, scene.class_counts.tolist(), strict=True))


def test_the_catalogue_is_the_table() -> None:
    assert set(EMBEDDED_PAIRS) == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_labelled_pixels_of_both_sides(name: str) -> None:
    (source,), target = load_both_labelled(NamedPair(name=name))
    assert (counts(source), counts(target)) == TABLE[name]


@pytest.mark.parametrize("name", TABLE)
def test_a_loaded_pair_has_a_labelled_source_and_a_bare_target(name: str) -> None:
    pair = load_pair(NamedPair(name=name))
    assert pair.name == name
    assert counts(pair.source) == TABLE[name][0]
    assert pair.class_names == tuple(TABLE[name][0])
    assert type(pair.target) is UnlabelledScene
    names = {f.name for f in fields(pair.target)} | set(vars(pair.target))
    assert names == {
        *("name", "cube", "wavelengths_nm", "footprint", "normalization", "georeference", "unit", "left_out")
    }
    assert not hasattr(pair.target, "labels")
    np.testing.assert_array_equal(pair.target.cube, load_both_labelled(NamedPair(name=name))[1].cube)


def test_pixels_are_raw_and_keep_their_place() -> None:
    whole = load_indian_pines()
    assert whole.cube.shape == (145, 145, 200)
    assert int(whole.class_counts.sum()) == 10_249
    assert (whole.cube.min(), whole.cube.max()) == (955, 9604)  # whole numbers, as AVIRIS data is given out
    np.testing.assert_array_equal(whole.cube, np.round(whole.cube))
    assert whole.normalization == ()
    for name, entry in EMBEDDED_PAIRS.items():
        pair = load_pair(NamedPair(name=name))
        for side, region in ((pair.source, entry.source_region), (pair.target, entry.target_region)):
            rows, columns = REGIONS[region]
            np.testing.assert_array_equal(side.cube, whole.cube[rows[0] : rows[1], columns[0] : columns[1]])
            assert (side.footprint.parent, side.footprint.rows, side.footprint.columns) == (whole.name, rows, columns)
            assert side.normalization == ()


def test_a_cut_keeps_the_unit_and_indian_pines_states_none() -> None:
    whole = load_indian_pines()
    assert whole.unit is None
    assert cut_region(whole, "se", ("Woods", "Corn")).unit is None
    assert cut_region(replace(whole, unit="counts"), "se", ("Woods", "Corn")).unit == "counts"


def test_a_cut_renumbers_the_classes_and_copies_the_pixels() -> None:
    whole = load_indian_pines()
    region = cut_region(whole, "se", ("Woods", "Corn"))
    old = whole.labels[56:, 72:]
    np.testing.assert_array_equal(region.labels == 1, old == 1 + whole.class_names.index("Woods"))
    np.testing.assert_array_equal(region.labels == 2, old == 1 + whole.class_names.index("Corn"))
    assert region.class_names == ("Woods", "Corn")
    assert not np.shares_memory(region.cube, whole.cube)
    assert not np.shares_memory(region.labels, whole.labels)


def test_no_pair_has_the_field_that_crosses_the_cut() -> None:
    whole = load_indian_pines()
    field = whole.labels == 1 + whole.class_names.index("Buildings-Grass-Trees-Drives")
    assert field[:, 71].any()
    assert field[:, 72].any()
    for entry in EMBEDDED_PAIRS.values():
        assert "Buildings-Grass-Trees-Drives" not in entry.class_names


def test_a_pair_s_name_does_for_its_recipe() -> None:
    by_name, by_recipe = load_pair("west-east"), load_pair(NamedPair(name="west-east"))
    assert by_name.source.content_hash == by_recipe.source.content_hash
    assert by_name.target.cube_hash == by_recipe.target.cube_hash
    with pytest.raises(InvalidInputError, match="'indian_pines'"):
        load_pair("indian_pines")


@pytest.mark.parametrize("load", [load_pair, load_both_labelled])
def test_an_unknown_name_is_answered_with_the_nearest(load: object) -> None:
    with pytest.raises(InvalidInputError, match=r"'west-eats'.*'west-east'") as e:
        load(NamedPair(name="west-eats"))
    assert all(name in str(e.value) for name in TABLE)
