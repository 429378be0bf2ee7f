"""What is written down of published scenes agrees with itself."""

import re
from dataclasses import replace

import pytest

from sceneshift.catalogue.builtin import EMBEDDED_PAIRS, PAIRS, SCENES
from sceneshift.errors import InvalidInputError


@pytest.mark.parametrize("name", SCENES)
def test_an_entry_is_whole(name: str) -> None:
    entry = SCENES[name]
    assert len(set(entry.class_names)) == len(entry.class_names) >= 3
    assert entry.counts is None or len(entry.counts) == len(entry.class_names)
    assert entry.label_values is None or len(entry.label_values) == len(entry.class_names)
    assert entry.wavelengths_nm is None or len(entry.wavelengths_nm) == entry.shape[2]
    assert (not entry.forms) == (name == "indian_pines")
    assert entry.counts is None or sum(entry.counts) <= entry.shape[0] * entry.shape[1]


@pytest.mark.parametrize("name", SCENES)
def test_an_entry_says_who_offers_its_files_or_whom_to_ask(name: str) -> None:
    offered = SCENES[name].offered
    assert re.match(r"https://\S+\.\S+|.* ask the authors of \S+|comes with", offered)
    assert offered.startswith("comes with") == (not SCENES[name].forms)


@pytest.mark.parametrize("name", SCENES)
def test_what_is_reported_of_units_and_files_is_whole(name: str) -> None:
    entry = SCENES[name]
    assert entry.scale > 0
    assert entry.unit is not None or entry.scale == 1
    needed = {file for form in entry.forms for file in form.needed()}
    assert set(entry.sha256) <= needed
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in entry.sha256.values())


def test_units_are_stated_of_the_scenes_whose_documents_state_them() -> None:
    values = {name: (entry.scale, entry.unit) for name, entry in SCENES.items() if entry.unit is not None}
    assert values == {
        "samson": (1, "0–1 by its own extremes"),
        "jasper_ridge": (10_000, "reflectance"),
        "muufl": (1, "0–1 by its own extremes"),
    }


def test_files_that_were_counted_have_their_hash() -> None:
    hashed = {name: set(entry.sha256) for name, entry in SCENES.items() if entry.sha256}
    # Of HyRANK the label maps are what was counted; no cube was at hand.
    labels = {"dioni": {"Dioni_gt_out68.mat"}, "loukia": {"Loukia_gt_out68.mat"}}
    whole = {name: set(SCENES[name].forms[0].needed()) for name in ("salinas_a", "samson", "jasper_ridge", "muufl")}
    assert hashed == labels | whole


def test_a_scale_without_a_unit_is_no_entry() -> None:
    with pytest.raises(InvalidInputError, match="unit"):
        replace(SCENES["jasper_ridge"], unit=None)


@pytest.mark.parametrize("name", ["muufl-jasper_ridge", "jasper_ridge-muufl"])
def test_muufl_s_asphalt_is_jasper_ridge_s_road(name: str) -> None:
    pair = PAIRS[name]
    source, target = (SCENES[scene] for scene in pair.scenes)
    for theirs, ours in pair.class_matches:
        assert theirs in target.class_names
        assert ours in source.class_names
    assert {frozenset(same) for same in pair.class_matches} == {frozenset({"tree"}), frozenset({"asphalt", "road"})}


@pytest.mark.parametrize("name", PAIRS)
def test_both_scenes_of_a_pair_have_the_same_classes_and_bands_or_can_be_aligned(name: str) -> None:
    source, target = (SCENES[scene] for scene in PAIRS[name].scenes)
    if "jasper_ridge" in PAIRS[name].scenes:
        shared = len(PAIRS[name].class_matches or set(source.class_names) & set(target.class_names))
        assert shared == (3 if "samson" in PAIRS[name].scenes else 2)
        assert source.wavelengths_nm is not None
        assert target.wavelengths_nm is not None
    else:
        assert source.class_names == target.class_names
        assert source.shape[2] == target.shape[2]
    assert name == "-".join(PAIRS[name].scenes)
    assert name not in EMBEDDED_PAIRS


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("houston13", 2530),
        ("houston18", 53200),
        ("paviau", 39332),
        ("paviac", 39355),
        ("dioni", 20024),
        ("loukia", 10317),
        ("shanghai", 1600 * 230),  # every pixel is labelled
        ("hangzhou", 590 * 230),
        ("indian_pines", 10249),
    ],
)
def test_counts_add_up_to_the_published_sums(name: str, total: int) -> None:
    assert sum(SCENES[name].counts) == total


def test_samson_and_jasper_ridge_call_their_materials_alike() -> None:
    samson, jasper = SCENES["samson"], SCENES["jasper_ridge"]
    assert samson.class_names == ("soil", "tree", "water")
    assert jasper.class_names == ("tree", "water", "soil", "road")
    assert (samson.wavelengths_nm[0], samson.wavelengths_nm[-1]) == (401, 889)
    muufl = SCENES["muufl"]
    assert (muufl.wavelengths_nm[0], muufl.wavelengths_nm[-1]) == (405.8, 1005.3)
    assert 390 < jasper.wavelengths_nm[0] < jasper.wavelengths_nm[-1] < 2500
