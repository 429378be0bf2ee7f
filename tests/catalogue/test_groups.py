"""Pairs that share flights are one group."""

from types import SimpleNamespace

from sceneshift.catalogue.groups import scene_groups
from sceneshift.catalogue.load import load_pair
from sceneshift.catalogue.pair_spec import NamedPair


def pair(name):
    *sources, target = (
        SimpleNamespace(footprint=SimpleNamespace(parent=flight)) for flight in name.replace("+", "-").split("-")
    )
    return SimpleNamespace(name=name, sources=tuple(sources), target=target)


def test_pairs_that_share_a_flight_are_one_group_also_through_others():
    pairs = [pair(name) for name in ("samson-jasper", "pavia-pavia", "muufl-jasper", "samson-muufl")]
    whole = "jasper+muufl+samson"
    expected = {"samson-jasper": whole, "pavia-pavia": "pavia", "muufl-jasper": whole, "samson-muufl": whole}
    assert scene_groups(pairs) == expected


def test_a_pair_may_link_two_that_came_before():
    groups = scene_groups([pair("a-b"), pair("c-d"), pair("b-c"), pair("e-f")])
    assert groups == {"a-b": "a+b+c+d", "c-d": "a+b+c+d", "b-c": "a+b+c+d", "e-f": "e+f"}


def test_every_source_of_a_pair_links():
    groups = scene_groups([pair("a-b"), pair("c+d-e"), pair("f-c"), pair("g-d")])
    assert groups == {"a-b": "a+b", **dict.fromkeys(("c+d-e", "f-c", "g-d"), "c+d+e+f+g")}


def test_two_cuts_of_one_scene_are_one_flight():
    found = scene_groups([load_pair(NamedPair(name=name)) for name in ("west-east", "sw-se")])
    assert len(set(found.values())) == 1
